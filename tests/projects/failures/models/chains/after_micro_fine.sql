select id from {{ ref('micro_fine') }}
