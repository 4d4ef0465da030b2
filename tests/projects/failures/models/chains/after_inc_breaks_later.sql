select id from {{ ref('inc_breaks_later') }}
