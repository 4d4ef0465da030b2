select code from {{ ref('seed_countries') }}
