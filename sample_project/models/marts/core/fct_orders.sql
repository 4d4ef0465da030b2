{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='order_id',
    on_schema_change='fail',
) }}

with orders as (
    select * from {{ ref('stg_shop__orders') }}
),

amounts as (
    select * from {{ ref('int_orders__amounts') }}
),

payments as (
    select * from {{ ref('int_payments__by_order') }}
),

joined as (
    select
        orders.order_id,
        orders.customer_id,
        orders.ordered_at,
        cast(orders.ordered_at as date) as order_date,
        orders.status,
        orders.currency,
        orders.shipping_country_code,
        amounts.line_count,
        amounts.unit_count,
        amounts.order_total,
        amounts.order_total_eur,
        amounts.discount_total_eur,
        coalesce(payments.amount_charged, 0) as amount_charged,
        {{ to_eur('coalesce(payments.amount_refunded, 0)', 'amounts.units_per_euro') }}
            as refunded_eur,
        payments.paid_at,
        orders.updated_at,
        -- An order changes when any of its parts does.
        greatest(
            orders._loaded_at,
            amounts._loaded_at,
            coalesce(payments._loaded_at, orders._loaded_at)
        ) as _loaded_at
    from orders
    inner join amounts
        on amounts.order_id = orders.order_id
    left join payments
        on payments.order_id = orders.order_id
)

select *
from joined
{% if is_incremental() %}
where _loaded_at > (
    select coalesce(max(_loaded_at), cast('1900-01-01' as {{ dbt.type_timestamp() }}))
    from {{ this }}
)
{% endif %}
