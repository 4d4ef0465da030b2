{# A table that is built once and appended to afterwards. #}
{% materialization kept_table, default %}
  {%- set existing = load_cached_relation(this) -%}
  {%- set target_relation = this.incorporate(type='table') -%}
  {{ run_hooks(pre_hooks) }}
  {% if existing is none or should_full_refresh() %}
    {% do adapter.drop_relation(existing) if existing is not none %}
    {% call statement('main') %}{{ create_table_as(false, target_relation, sql) }}{% endcall %}
  {% else %}
    {% call statement('main') %}insert into {{ target_relation }} {{ sql }}{% endcall %}
  {% endif %}
  {{ run_hooks(post_hooks) }}
  {{ adapter.commit() }}
  {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
