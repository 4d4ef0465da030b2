-- The weeks together hold every cent of the orders.
with weeks as (
    select sum(gross_revenue_eur) as gross_revenue_eur
    from {{ ref('fct_weekly_kpis') }}
),

orders as (
    select sum(order_total_eur) as gross_revenue_eur
    from {{ ref('fct_orders') }}
    where status <> 'cancelled'
)

select
    weeks.gross_revenue_eur as in_weeks,
    orders.gross_revenue_eur as in_orders
from weeks
cross join orders
where weeks.gross_revenue_eur <> orders.gross_revenue_eur
