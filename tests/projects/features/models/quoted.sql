{{ config(alias='Quoted Name', materialized='table') }}
select id as "Id", "Full Name" as "select" from {{ ref('semicolons') }}
