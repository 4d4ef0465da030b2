-- No rates are published on weekends: each holds until the next one comes.
select
    currency,
    units_per_euro,
    rate_date as valid_from,
    lead(rate_date) over (partition by currency order by rate_date) as valid_to
from {{ ref('stg_ecb__exchange_rates') }}
