{{ config(materialized='table') }}
select 'not a number' as id, 1 as surplus
