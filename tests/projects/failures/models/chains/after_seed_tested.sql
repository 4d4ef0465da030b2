select id from {{ ref('seed_tested') }}
