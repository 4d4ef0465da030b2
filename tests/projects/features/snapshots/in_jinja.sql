{% snapshot in_jinja %}
{{ config(unique_key='id', strategy='check', check_cols=['amount'], target_schema='history') }}
select id, coalesce(amount, 0) as amount from {{ ref('base') }}
{% endsnapshot %}
