-- For readers that have not moved to version 2 yet.
{{ config(materialized='view') }}

select
    customer_id,
    first_name || ' ' || last_name as full_name,
    email,
    country_code,
    signed_up_at,
    order_count
from {{ ref('dim_customers', v=2) }}
