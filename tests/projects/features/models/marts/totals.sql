{{ config(access='private') }}
select kind, sum(amount) as amount, count(*) as numbers from {{ ref('base') }} group by kind
