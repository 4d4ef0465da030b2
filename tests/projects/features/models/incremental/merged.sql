{{ config(materialized='incremental', incremental_strategy='merge', unique_key='id', merge_exclude_columns=['first_seen']) }}
select id, {{ 1 if is_incremental() else 0 }} as again, {{ 2 if is_incremental() else 1 }} as first_seen from {{ ref('inline') }}
