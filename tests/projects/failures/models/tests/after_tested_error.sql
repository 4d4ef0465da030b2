select id from {{ ref('tested_error') }}
