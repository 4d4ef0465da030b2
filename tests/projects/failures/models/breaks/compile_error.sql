{{ refuse('this model never compiles') }}
select id from {{ ref('stg_orders') }}
