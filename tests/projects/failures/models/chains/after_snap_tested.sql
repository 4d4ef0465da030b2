select id from {{ ref('snap_tested') }}
