{{ config(materialized='table') }}
selec id fro {{ ref('stg_orders') }}
