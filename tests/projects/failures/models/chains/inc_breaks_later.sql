{{ config(materialized='incremental', unique_key='id') }}
-- the first run works, the second does not
select id{% if is_incremental() %}, {{ no_such_column() }}{% endif %} from {{ ref('stg_orders') }}
