select id, {{ function('twice') }}(id) as doubled from {{ ref('base') }}
