{% macro audit(table) %}audit_{{ env_var('PARITY_STAMP') }}.{{ table }}{% endmacro %}

{% macro query_note(node) %}
  {%- if node is not none -%}{{ tojson({'node': node.unique_id, 'target': target.name}) }}
  {%- else -%}{{ tojson({'node': none}) }}{%- endif -%}
{% endmacro %}

{% macro create_audit_tables() %}
  create table if not exists {{ audit('notes') }} (moment varchar(40), what varchar(200));
  create table if not exists {{ audit('graph') }} (id varchar(400), kind varchar(40), selected integer);
  create table if not exists {{ audit('results') }} (
    id varchar(400), status varchar(40), failures integer, timings integer, has_message integer, materialized varchar(40)
  );
  create table if not exists {{ audit('schemas') }} (name varchar(400))
{% endmacro %}

{% macro note(moment, what) %}
  insert into {{ audit('notes') }} values ('{{ moment }}', '{{ what }}')
{% endmacro %}

{# The whole graph, what is selected, and how dbt was called. #}
{% macro note_graph() %}
  {% if execute %}
    insert into {{ audit('graph') }} values
    {% for group in [graph.nodes, graph.sources, graph.exposures] %}
      {% for id, node in group.items() %}
        ('{{ id }}', '{{ node.resource_type }}', {{ 1 if id in selected_resources else 0 }}),
      {% endfor %}
    {% endfor %}
    ('{{ flags.WHICH }}', 'full refresh', {{ 1 if flags.FULL_REFRESH else 0 }}),
    ('{{ invocation_args_dict.which }}', 'invocation', {{ selected_resources | length }})
  {% endif %}
{% endmacro %}

{% macro note_results(results) %}
  {% if execute %}
    {% for result in results %}
      {% set facts = result.to_dict() %}
      insert into {{ audit('results') }} values (
        '{{ result.node.unique_id }}', '{{ facts.status }}',
        {{ 'null' if result.failures is none else result.failures }},
        {{ result.timing | length }}, {{ 1 if result.message else 0 }},
        '{{ result.node.config.materialized }}'
      );
    {% endfor %}
    insert into {{ audit('results') }} values ('total', '{{ results | length }}', null, null, null, null)
  {% endif %}
{% endmacro %}

{% macro note_schemas(schemas, database_schemas) %}
  {% if execute %}
    {% for name in schemas %}
      insert into {{ audit('schemas') }} values ('{{ name }}');
    {% endfor %}
    insert into {{ audit('schemas') }} values ('{{ database_schemas | length }} in all')
  {% endif %}
{% endmacro %}

{# Does nothing, unless the variant asks for a failure at this moment. #}
{% macro go_wrong(moment) %}
  {% if var('variant') == moment ~ '_fails' %}
    insert into never_created values (1)
  {% elif var('variant') == moment ~ '_never_compiles' and execute %}
    {{ exceptions.raise_compiler_error('this hook never compiles') }}
  {% endif %}
{% endmacro %}
