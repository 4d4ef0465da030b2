with orders as (
    select order_id, currency, cast(ordered_at as date) as order_date
    from {{ ref('stg_shop__orders') }}
),

rates as (
    select * from {{ ref('int_exchange_rates__periods') }}
),

totals as (
    select
        order_id,
        count(*) as line_count,
        sum(quantity) as unit_count,
        sum(line_total) as order_total,
        sum(discount) as discount_total,
        max(_loaded_at) as _loaded_at
    from {{ ref('stg_shop__order_items') }}
    group by order_id
),

rated as (
    select
        totals.*,
        case when orders.currency = 'EUR' then 1 else rates.units_per_euro end as units_per_euro
    from orders
    inner join totals
        on totals.order_id = orders.order_id
    left join rates
        on rates.currency = orders.currency
        and rates.valid_from <= orders.order_date
        and (rates.valid_to > orders.order_date or rates.valid_to is null)
)

select
    order_id,
    line_count,
    unit_count,
    order_total,
    {{ to_eur('order_total', 'units_per_euro') }} as order_total_eur,
    {{ to_eur('discount_total', 'units_per_euro') }} as discount_total_eur,
    units_per_euro,
    _loaded_at
from rated
