{{ config(materialized='table') }}
select {{ no_such_column() }} from {{ ref('stg_orders') }}
