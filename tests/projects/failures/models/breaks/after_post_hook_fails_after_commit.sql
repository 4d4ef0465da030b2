select id from {{ ref('post_hook_fails_after_commit') }}
