select
    payment_id,
    order_id,
    payment_type,
    method as payment_method,
    status,
    {{ cents_to_amount('cast(amount_cents as integer)') }} as amount,
    upper(currency) as currency,
    cast(processed_at as {{ dbt.type_timestamp() }}) as processed_at,
    _loaded_at
from {{ source('shop', 'payments') }}
