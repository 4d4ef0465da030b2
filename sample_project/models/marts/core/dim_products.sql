with products as (
    select * from {{ ref('product_catalogue') }}
),

sales as (
    select
        sku,
        sum(quantity) as units_sold,
        count(distinct order_id) as order_count
    from {{ ref('stg_shop__order_items') }}
    group by sku
)

select
    products.sku,
    products.product_name,
    products.category,
    {{ cents_to_amount('products.list_price_cents') }} as list_price_eur,
    {{ cents_to_amount('products.unit_cost_cents') }} as unit_cost_eur,
    products.launched_on,
    coalesce(sales.units_sold, 0) as units_sold,
    coalesce(sales.order_count, 0) as order_count
from products
left join sales
    on sales.sku = products.sku
