{{ config(materialized='table') }}
select id from {{ target.schema }}.never_built
