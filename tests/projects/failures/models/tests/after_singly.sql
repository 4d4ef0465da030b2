select id from {{ ref('singly') }}
