select id from {{ ref('micro_one_bad') }}
