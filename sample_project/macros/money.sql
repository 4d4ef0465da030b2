{% macro cents_to_amount(cents) -%}
    cast({{ cents }} / 100.0 as numeric(18, 2))
{%- endmacro %}


{% macro to_eur(amount, units_per_euro) -%}
    cast(round({{ amount }} / {{ units_per_euro }}, 2) as numeric(18, 2))
{%- endmacro %}
