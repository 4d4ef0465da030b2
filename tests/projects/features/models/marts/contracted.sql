{{ config(contract={'enforced': true}) }}
select id, kind, cast(amount as integer) as amount from {{ ref('base') }}
