{{ config(materialized='incremental', unique_key='id') }}
select id from {{ ref('view_over_bad_sql') }}
