{{ config(event_time='happened_at') }}
select id, kind, amount, cast(happened_on as timestamp) as happened_at from {{ ref('numbers') }}
