with deliveries as (
    {{ latest_version(source('shop', 'orders'), 'order_id', 'updated_at desc, _file desc') }}
)

select
    order_id,
    customer_id,
    cast(ordered_at as {{ dbt.type_timestamp() }}) as ordered_at,
    lower(status) as status,
    upper(currency) as currency,
    upper(shipping_country_code) as shipping_country_code,
    cast(updated_at as {{ dbt.type_timestamp() }}) as updated_at,
    _loaded_at
from deliveries
