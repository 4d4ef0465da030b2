select id from {{ ref('base_by_time') }} where dbt_valid_from is null
