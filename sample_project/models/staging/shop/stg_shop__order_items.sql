select
    order_id,
    cast(line_number as integer) as line_number,
    sku,
    cast(quantity as integer) as quantity,
    {{ cents_to_amount('cast(unit_price_cents as integer)') }} as unit_price,
    {{ cents_to_amount('cast(discount_cents as integer)') }} as discount,
    {{ cents_to_amount('(cast(quantity as integer) * cast(unit_price_cents as integer) - cast(discount_cents as integer))') }}
        as line_total,
    _loaded_at
from {{ source('shop', 'order_items') }}
