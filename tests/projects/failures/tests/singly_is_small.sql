{{ config(severity='warn') }}
select id from {{ ref('singly') }} where id > 3
