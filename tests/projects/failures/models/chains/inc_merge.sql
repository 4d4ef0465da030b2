{{ config(materialized='incremental', incremental_strategy='merge', unique_key='id') }}
select id, amount {% if is_incremental() %} + 5 {% endif %} as amount from {{ ref('eph_fine') }}
