select id from {{ ref('post_hook_fails') }}
