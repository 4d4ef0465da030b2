select "Id" as id, upper("select") as name from {{ ref('features', 'quoted') }}
