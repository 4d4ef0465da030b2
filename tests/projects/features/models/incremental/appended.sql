{{ config(materialized='incremental', incremental_strategy='append') }}
select id, {{ 1 if is_incremental() else 0 }} as again from {{ ref('base') }}
{% if is_incremental() %} where id > (select max(id) - 1 from {{ this }}) {% endif %}
