select {{ helpers.twice('id') }} as id from {{ ref('helper_fine') }}
