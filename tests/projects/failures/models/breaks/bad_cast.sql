{{ config(materialized='table') }}
-- fails while rows are written, not while it is planned
select cast(method as integer) as id from {{ ref('stg_payments') }}
