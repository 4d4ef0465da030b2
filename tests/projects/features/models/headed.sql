{% call set_sql_header(config) %}
create temporary table if not exists header_rows as select 1 as id;
{% endcall %}
{{ config(materialized='table') }}
select id from {{ ref('numbers') }}
