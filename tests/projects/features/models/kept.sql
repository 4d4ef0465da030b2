{{ config(materialized='kept_table', pre_hook="select 1", post_hook="select 2") }}
select id, amount from {{ ref('inline') }}
