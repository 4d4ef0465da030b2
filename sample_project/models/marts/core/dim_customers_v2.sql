with customers as (
    select * from {{ ref('stg_shop__customers') }}
),

countries as (
    select * from {{ ref('country_codes') }}
),

orders as (
    select
        customer_id,
        count(*) as order_count,
        min(ordered_at) as first_ordered_at,
        max(ordered_at) as last_ordered_at,
        sum(order_total_eur - refunded_eur) as lifetime_value_eur
    from {{ ref('fct_orders') }}
    where status <> 'cancelled'
    group by customer_id
)

select
    customers.customer_id,
    customers.first_name,
    customers.last_name,
    customers.email,
    customers.country_code,
    countries.country_name,
    countries.region,
    customers.signed_up_at,
    customers.has_opted_in,
    coalesce(orders.order_count, 0) as order_count,
    orders.first_ordered_at,
    orders.last_ordered_at,
    coalesce(orders.lifetime_value_eur, 0) as lifetime_value_eur,
    case
        when orders.order_count is null then 'prospect'
        when orders.order_count = 1 then 'new'
        when orders.order_count < 4 then 'returning'
        else 'regular'
    end as segment
from customers
left join countries
    on countries.country_code = customers.country_code
left join orders
    on orders.customer_id = customers.customer_id
