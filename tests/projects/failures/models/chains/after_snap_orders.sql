select id from {{ ref('snap_orders') }}
