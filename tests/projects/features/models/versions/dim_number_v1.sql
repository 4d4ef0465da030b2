select id, 1 as version from {{ ref('base') }}
