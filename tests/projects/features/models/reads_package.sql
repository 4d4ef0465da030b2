select surplus, spelled, '{{ var("surplus") }}' as own from {{ ref('helpers', 'helper') }}
