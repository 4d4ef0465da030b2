select id from {{ ref('table_over_broken_eph') }}
