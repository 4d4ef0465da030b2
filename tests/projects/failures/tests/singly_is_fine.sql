select id from {{ ref('singly') }} where id > 30
