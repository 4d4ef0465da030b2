{{ config(
    materialized='incremental', incremental_strategy='microbatch', event_time='ordered_at',
    begin='2021-01-01', batch_size='year', unique_key='id' if target.type == 'postgres' else none
) }}
select id, ordered_at, {{ no_such_column() }} from {{ ref('events') }}
