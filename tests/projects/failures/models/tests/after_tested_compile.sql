select id from {{ ref('tested_compile') }}
