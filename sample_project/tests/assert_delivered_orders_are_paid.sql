-- Warns: somebody should write to these customers, but no figure is wrong because of them.
{{ config(severity='warn', meta={'dbtorch': {'owner': 'finance-analytics@shop.example.com'}}) }}

select
    order_id,
    customer_id,
    order_total_eur
from {{ ref('fct_orders') }}
where status = 'delivered'
    and amount_charged = 0
