{{ config(materialized='table') }}
-- far below, with a green parent as well
select id from {{ ref('after_sql_error_table') }} union all
select id from {{ ref('after_bad_cast') }} union all
select id from {{ ref('stg_orders') }}
