select id from {{ ref('sql_error_table') }}
