select a.id from {{ ref('dim_number', v=1) }} as a join {{ ref('dim_number', v=2) }} as b on b.id = a.id
