select {{ nothing.at.all if execute else 1 }} as id from {{ ref('stg_orders') }}
