-- reads a good source and one whose test fails
select id from {{ source('raw', 'orders') }} union all select id from {{ source('raw', 'customers') }}
