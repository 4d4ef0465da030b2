-- Whoever paid, paid what the order costs, not a cent more or less.
select
    order_id,
    order_total,
    amount_charged
from {{ ref('fct_orders') }}
where amount_charged > 0
    and amount_charged <> order_total
