-- fails, with two parents
select s.id from {{ ref('singly') }} as s join {{ ref('after_singly') }} as a on a.id = s.id where s.id > 3
