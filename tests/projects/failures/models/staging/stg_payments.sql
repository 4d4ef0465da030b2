select id, order_id, method from {{ source('raw', 'payments') }}
