{{ config(tags=['web']) }}

select
    session_id,
    max(customer_id) as customer_id,
    min(occurred_at) as started_at,
    max(occurred_at) as ended_at,
    {{ dbt.datediff('min(occurred_at)', 'max(occurred_at)', 'second') }} as duration_seconds,
    min(device) as device,
    min(traffic_source) as traffic_source,
    count(*) as event_count,
    count(distinct sku) as product_count,
    sum(case when event_type = 'add_to_cart' then 1 else 0 end) > 0 as has_cart,
    sum(case when event_type = 'purchase' then 1 else 0 end) > 0 as has_purchase
from {{ ref('fct_web_events') }}
group by session_id
