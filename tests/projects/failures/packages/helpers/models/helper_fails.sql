select no_such_column from {{ ref('helper_fine') }}
