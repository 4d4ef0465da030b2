select id from {{ ref('undefined_in_jinja') }}
