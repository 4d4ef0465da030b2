-- A table, because its source is swapped: a view on Postgres would hold on to the old one.
{{ config(materialized='table') }}

select
    cast(rate_date as date) as rate_date,
    upper(currency) as currency,
    cast(rate as numeric(18, 6)) as units_per_euro
from {{ source('ecb', 'exchange_rates') }}
