{{ config(materialized='table') }}
select id from {{ ref('eph_fine') }} union all select id from {{ ref('eph_over_failed') }}
