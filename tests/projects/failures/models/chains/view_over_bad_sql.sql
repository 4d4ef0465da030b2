-- the ephemeral compiles; what fails is this view
select id from {{ ref('eph_bad_sql') }}
