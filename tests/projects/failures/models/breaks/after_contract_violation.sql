select id from {{ ref('contract_violation') }}
