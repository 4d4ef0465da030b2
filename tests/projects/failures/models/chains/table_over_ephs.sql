{{ config(materialized='table') }}
select a.id, a.amount, b.amount as double_amount
from {{ ref('eph_fine') }} as a join {{ ref('eph_over_eph') }} as b on b.id = a.id
