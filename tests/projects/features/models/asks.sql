-- asks the database about its parents while it compiles
{% set columns = adapter.get_columns_in_relation(ref('kept')) %}
{% set relation = load_relation(ref('kept')) %}
{% set largest = none %}
{% if execute %}{% set largest = run_query('select max(id) as n from ' ~ ref('kept')).columns['n'].values()[0] %}{% endif %}
select
    {{ columns | length }} as column_count,
    '{{ relation.type if relation else "absent" }}' as kind,
    {{ dbt.safe_cast("'" ~ largest ~ "'", api.Column.translate_type('integer')) if largest else 'null' }} as largest
