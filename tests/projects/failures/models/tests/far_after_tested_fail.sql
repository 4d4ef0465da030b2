select id from {{ ref('after_tested_fail') }}
