select id, '{{ var("batch_name") }}' as batch, '{{ env_var("PARITY_STAMP") }}' as stamp from {{ ref('numbers') }}
