{{ config(materialized='incremental', full_refresh=false) }}
select id from {{ ref('base') }} {% if is_incremental() %} where id = 1 {% endif %}
