select
    order_id,
    sum(case when payment_type = 'charge' and status = 'succeeded' then amount else 0 end)
        as amount_charged,
    sum(case when payment_type = 'refund' and status = 'succeeded' then amount else 0 end)
        as amount_refunded,
    sum(case when status = 'failed' then 1 else 0 end) as failed_payment_count,
    max(case when payment_type = 'charge' and status = 'succeeded' then processed_at end) as paid_at,
    max(_loaded_at) as _loaded_at
from {{ ref('stg_shop__payments') }}
group by order_id
