select id from {{ ref('eph_tested') }}
