select id from {{ ref('unit_ok') }}
