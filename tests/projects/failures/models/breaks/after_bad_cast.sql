select id from {{ ref('bad_cast') }}
