select id, tenfold from {{ ref('python_incremental') }}
