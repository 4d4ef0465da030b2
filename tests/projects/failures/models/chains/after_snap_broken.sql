select id from {{ ref('snap_broken') }}
