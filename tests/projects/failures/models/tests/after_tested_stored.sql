select id from {{ ref('tested_stored') }}
