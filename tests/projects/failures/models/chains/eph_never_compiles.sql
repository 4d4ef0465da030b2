{{ config(materialized='ephemeral') }}
{{ refuse('this ephemeral model never compiles') }}
select id from {{ ref('table_over_ephs') }}
