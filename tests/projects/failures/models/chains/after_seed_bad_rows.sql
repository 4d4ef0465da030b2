select id from {{ ref('seed_bad_rows') }}
