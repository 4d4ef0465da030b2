{# One row for each result, and how many nodes the graph knows. #}
{% macro audit_results(results) %}
  {% if execute %}
    insert into {{ target.schema }}.audit_nodes values
    {% for result in results %}
      ('{{ result.node.unique_id }}', '{{ result.status }}', {{ result.failures if result.failures is not none else 'null' }}),
    {% endfor %}
    ('graph', 'nodes', {{ graph.nodes | length }})
  {% endif %}
{% endmacro %}

{# A compile error that parsing does not see. #}
{% macro refuse(reason) %}
  {% if execute %}{{ exceptions.raise_compiler_error(reason) }}{% endif %}
{% endmacro %}

{# Fails inside the database only, after its parents were built. #}
{% macro no_such_column() %}no_such_column{% endmacro %}

{% test below(model, column_name, bound) %}
  select {{ column_name }} from {{ model }} where {{ column_name }} >= {{ bound }}
{% endtest %}

{% test cannot_run(model, column_name) %}
  select {{ column_name }}, no_such_column from {{ model }}
{% endtest %}

{% test cannot_compile(model, column_name) %}
  {{ refuse('this test never compiles') }}
  select {{ column_name }} from {{ model }}
{% endtest %}

{# Two parents: complains about rows of `model` that `other` lacks. #}
{% test also_in(model, column_name, other, field) %}
  select a.{{ column_name }} from {{ model }} as a
  where a.{{ column_name }} not in (select b.{{ field }} from {{ other }} as b)
{% endtest %}
