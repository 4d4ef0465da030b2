with orders as (
    select
        cast({{ dbt.date_trunc('week', 'ordered_at') }} as date) as week_start_date,
        count(*) as order_count,
        count(distinct customer_id) as customer_count,
        sum(order_total_eur) as gross_revenue_eur,
        sum(refunded_eur) as refunded_eur
    from {{ ref('fct_orders') }}
    where status <> 'cancelled'
    group by 1
),

visits as (
    select
        cast({{ dbt.date_trunc('week', 'started_at') }} as date) as week_start_date,
        count(*) as session_count,
        sum(case when has_purchase then 1 else 0 end) as purchase_session_count
    from {{ ref('fct_web_sessions') }}
    group by 1
)

select
    orders.week_start_date,
    cast(orders.order_count as integer) as order_count,
    cast(orders.customer_count as integer) as customer_count,
    cast(orders.gross_revenue_eur as numeric(18, 2)) as gross_revenue_eur,
    cast(orders.refunded_eur as numeric(18, 2)) as refunded_eur,
    cast(orders.gross_revenue_eur - orders.refunded_eur as numeric(18, 2)) as net_revenue_eur,
    cast(orders.gross_revenue_eur / orders.order_count as numeric(18, 2))
        as average_order_value_eur,
    cast(coalesce(visits.session_count, 0) as integer) as session_count,
    cast(visits.purchase_session_count * 1.0 / nullif(visits.session_count, 0) as numeric(9, 4))
        as conversion_rate
from orders
left join visits
    on visits.week_start_date = orders.week_start_date
