{{ config(event_time='occurred_at', tags=['web']) }}

select
    event_id,
    cast(occurred_at as {{ dbt.type_timestamp() }}) as occurred_at,
    session_id,
    customer_id,
    event_type,
    page_url,
    sku,
    device,
    coalesce(utm_source, 'direct') as traffic_source
from {{ source('shop', 'web_events') }}
