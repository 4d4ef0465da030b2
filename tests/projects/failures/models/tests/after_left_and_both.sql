{{ config(materialized='table') }}
select l.id from {{ ref('after_left') }} as l join {{ ref('after_both') }} as b on b.id = l.id
