select id from {{ ref('missing_materialization') }}
