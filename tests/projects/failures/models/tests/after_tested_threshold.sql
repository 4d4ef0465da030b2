select id from {{ ref('tested_threshold') }}
