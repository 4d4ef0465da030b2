select id from {{ ref('constraint_violation') }}
