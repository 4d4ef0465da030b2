select id from {{ ref('fails') }}
