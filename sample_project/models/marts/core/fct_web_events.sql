-- dbt-postgres merges a batch by its key, dbt-duckdb replaces its time range and wants no key.
{{ config(
    materialized='incremental',
    incremental_strategy='microbatch',
    event_time='occurred_at',
    begin=var('web_events_begin'),
    batch_size=var('web_events_batch_size'),
    lookback=1,
    unique_key='event_id' if target.type == 'postgres' else none,
    tags=['web'],
) }}

select
    event_id,
    occurred_at,
    cast(occurred_at as date) as event_date,
    session_id,
    customer_id,
    event_type,
    page_url,
    sku,
    device,
    traffic_source
from {{ ref('stg_shop__web_events') }}
