-- depends_on: {{ ref('plain') }}
-- what the graph says about other nodes, at run time
{% if execute %}
  {% for node in graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | sort(attribute='unique_id') %}
    select '{{ node.unique_id }}' as id, '{{ node.config.materialized }}' as materialized, '{{ node.config.meta.batch }}' as batch
    {% if not loop.last %} union all {% endif %}
  {% endfor %}
{% else %}
  select 1 as id
{% endif %}
