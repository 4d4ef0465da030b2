{# One row for each dbt invocation, in <schema>.audit_dbt_runs. #}
{% macro audit_relation() -%}
    {{ return(api.Relation.create(
        database=target.database, schema=target.schema, identifier='audit_dbt_runs'
    )) }}
{%- endmacro %}


{% macro audit_run_started() %}
    {%- if execute %}
    {#- A selection may have nothing in this schema, and then dbt does not create it. #}
    {%- do adapter.create_schema(audit_relation().without_identifier()) %}
    create table if not exists {{ audit_relation() }} (
        invocation_id varchar(36),
        target_name varchar(100),
        command varchar(100),
        started_at timestamp,
        ended_at timestamp,
        node_count integer,
        failed_count integer
    );
    insert into {{ audit_relation() }} (invocation_id, target_name, command, started_at)
    values (
        '{{ invocation_id }}',
        '{{ target.name }}',
        '{{ flags.WHICH }}',
        cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as timestamp)
    )
    {%- endif %}
{% endmacro %}


{% macro audit_run_ended(results) %}
    {%- if execute %}
    {%- set ended_at = modules.datetime.datetime.now(modules.pytz.utc) %}
    {%- set failed = results | selectattr("status", "in", ["error", "fail"]) | list %}
    update {{ audit_relation() }}
    set
        ended_at = cast('{{ ended_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as timestamp),
        node_count = {{ results | length }},
        failed_count = {{ failed | length }}
    where invocation_id = '{{ invocation_id }}'
    {%- endif %}
{% endmacro %}
