select '{{ var("surplus") }}' as surplus, {{ helpers.spell(3) }} as spelled
