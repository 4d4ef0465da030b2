{% macro spell(number) %}{{ return(adapter.dispatch('spell', 'helpers')(number)) }}{% endmacro %}
{% macro default__spell(number) %}'never used'{% endmacro %}
