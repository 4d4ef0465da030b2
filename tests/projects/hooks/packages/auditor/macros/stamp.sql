{# A package cannot rely on the tables of the project that installs it. #}
{% macro stamp(moment) %}
  {% if execute %}
    create table if not exists {{ target.schema }}.stamps (moment varchar(40), stamped_at timestamp, run_id varchar(80));
    insert into {{ target.schema }}.stamps values
      ('{{ moment }}', '{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S") }}', '{{ invocation_id }}')
  {% endif %}
{% endmacro %}
