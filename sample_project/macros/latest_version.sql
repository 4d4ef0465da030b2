{# Of several deliveries of the same thing, the one that counts. #}
{% macro latest_version(relation, key, order_by) -%}
    select *
    from (
        select
            *,
            row_number() over (partition by {{ key }} order by {{ order_by }}) as _version
        from {{ relation }}
    ) as versions
    where _version = 1
{%- endmacro %}
