{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='id') }}
select id, amount {% if is_incremental() %} + 1 {% endif %} as amount from {{ ref('stg_orders') }}
