select id from {{ ref('unit_fails') }}
