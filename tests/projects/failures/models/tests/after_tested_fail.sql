select id from {{ ref('tested_fail') }}
