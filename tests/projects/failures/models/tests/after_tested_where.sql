select id from {{ ref('tested_where') }}
