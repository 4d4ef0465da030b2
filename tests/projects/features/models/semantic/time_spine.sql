{{ config(materialized='table') }}
select cast('2021-01-01' as date) as day union all select cast('2021-01-02' as date)
