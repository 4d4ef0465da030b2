with orders as (
    select *
    from {{ ref('fct_orders') }}
    where status <> 'cancelled'
),

countries as (
    select * from {{ ref('country_codes') }}
)

select
    cast({{ dbt.date_trunc('month', 'orders.ordered_at') }} as date) as month_start_date,
    countries.country_code,
    countries.country_name,
    countries.region,
    count(*) as order_count,
    sum(orders.order_total_eur) as gross_revenue_eur,
    sum(orders.refunded_eur) as refunded_eur
from orders
inner join countries
    on countries.country_code = orders.shipping_country_code
group by 1, 2, 3, 4
