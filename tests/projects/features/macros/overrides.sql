{# The custom schema alone, as many teams have it. #}
{% macro generate_schema_name(custom_schema_name, node) %}
  {{- custom_schema_name | trim if custom_schema_name else target.schema -}}
{% endmacro %}

{% macro generate_alias_name(custom_alias_name=none, node=none) %}
  {%- if custom_alias_name -%}{{ custom_alias_name | trim }}
  {%- elif node.version -%}{{ node.name ~ '_v' ~ (node.version | replace('.', '_')) }}
  {%- else -%}{{ node.name }}{%- endif -%}
{% endmacro %}

{# Wins over the package's own version. #}
{% macro default__spell(number) %}'{{ 'three' if number == 3 else 'many' }}'{% endmacro %}

{% test at_least(model, column_name, bound=0) %}
  {{ config(severity='error') }}
  select {{ column_name }} from {{ model }} where {{ column_name }} < {{ bound }}
{% endtest %}

{# DuckDB has macros instead of functions. #}
{% macro duckdb__scalar_function_sql(target_relation) %}
  create or replace macro {{ target_relation.render() }}({{ model.arguments | map(attribute='name') | join(', ') }}) as ({{ model.compiled_code }})
{% endmacro %}
