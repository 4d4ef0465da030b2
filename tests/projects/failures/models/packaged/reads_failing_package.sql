select id from {{ ref('helpers', 'helper_fails') }}
