{{ config(materialized='table', event_time='ordered_at') }}
-- one event a year, the second one with an amount that cannot be cast
select
    id,
    cast(cast(2020 + id as varchar(4)) || '-06-01' as timestamp) as ordered_at,
    case when id = 2 then 'not a number' else '1' end as amount
from {{ ref('stg_orders') }}
