select id from {{ ref('tested_off') }}
