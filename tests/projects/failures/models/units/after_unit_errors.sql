select id from {{ ref('unit_errors') }}
