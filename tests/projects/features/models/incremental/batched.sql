{{ config(
    materialized='incremental', incremental_strategy='microbatch', event_time='happened_at',
    begin='2021-01-01', batch_size='year', lookback=2, concurrent_batches=false,
    unique_key='id' if target.type == 'postgres' else none,
    post_hook="select {{ 1 if model.batch else 0 }}"
) }}
select id, happened_at{% if model.batch %}, '{{ model.batch.id }}' as batch{% else %}, '' as batch{% endif %} from {{ ref('base') }}
