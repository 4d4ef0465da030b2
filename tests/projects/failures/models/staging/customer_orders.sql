{{ config(materialized='table') }}
select o.id, c.name from {{ ref('stg_orders') }} as o join {{ ref('stg_customers') }} as c on c.id = o.customer_id
