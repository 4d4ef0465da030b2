-- reads its parent while it compiles
{% set kinds = [] %}
{% if execute %}
  {% set kinds = run_query("select distinct kind from " ~ ref('numbers') ~ " order by 1").columns[0].values() %}
{% endif %}
select id{% for kind in kinds %}, case when kind = '{{ kind }}' then 1 else 0 end as is_{{ kind }}{% endfor %}
from {{ ref('numbers') }}
