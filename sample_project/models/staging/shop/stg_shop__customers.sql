select
    customer_id,
    trim(first_name) as first_name,
    trim(last_name) as last_name,
    lower(email) as email,
    upper(country_code) as country_code,
    cast(signed_up_at as {{ dbt.type_timestamp() }}) as signed_up_at,
    marketing_opt_in = 'true' as has_opted_in,
    cast(updated_at as {{ dbt.type_timestamp() }}) as updated_at
from {{ source('shop', 'customers') }}
