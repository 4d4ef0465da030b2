{{ config(materialized='ephemeral') }}
select {{ no_such_column() }} as id from {{ ref('stg_orders') }}
