{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key=['id', 'kind']) }}
select id, kind, {{ 1 if is_incremental() else 0 }} as again from {{ ref('base') }}
{% if is_incremental() %} where id > 2 {% endif %}
