select id from {{ ref('micro_all_bad') }}
