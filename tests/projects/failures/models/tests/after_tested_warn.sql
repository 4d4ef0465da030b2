select id from {{ ref('tested_warn') }}
