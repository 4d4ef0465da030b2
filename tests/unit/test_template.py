"""Templates: dbt's functions, what a run is called in them, and what is said about mistakes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dbtorch.adapters.template import evaluate, render, run_values
from dbtorch.adapters.template_limits import TemplateError

RUN = run_values(
    id="r1",
    pipeline="daily",
    logical_date=datetime(2026, 3, 1, 6, tzinfo=UTC),
    data_interval_start=datetime(2026, 3, 1, 6, tzinfo=UTC),
    data_interval_end=datetime(2026, 3, 2, 6, tzinfo=UTC),
)


def rendered(template: Any, **more: Any) -> Any:
    known: dict[str, Any] = {
        "env": {"TOKEN": "s3cret", "EMPTY": ""},
        "vars": {"country": "DE", "days": 3},
        "run": RUN,
        "outputs": {"ingest": {"rows": 42, "items": ["a", "b"], "ok": True}},
        "extra": {"target": {"name": "dev", "schema": "main"}},
    }
    return render(template, **{**known, **more})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no template", "no template"),
        ("{not one} either", "{not one} either"),
        ("{{ env_var('TOKEN') }}", "s3cret"),
        ("{{ env_var('NOT_SET', 'fallback') }}", "fallback"),
        ("{{ env_var('EMPTY') }}", ""),  # set, to nothing
        ("{{ var('country') }}", "DE"),
        ("{{ var('region', 'north') }}", "north"),
        ("{{ run.id }} of {{ run.pipeline }}", "r1 of daily"),
        ("{{ run.logical_date }}", "2026-03-01T06:00:00+00:00"),
        ("{{ run.logical_date.date() }}", "2026-03-01"),  # still a time
        ("{{ run.data_interval_end.strftime('%d.%m.') }}", "02.03."),
        ("{{ run.partition }}", "None"),
        ("{{ target.schema }}", "main"),
        ("{{ outputs.ingest.rows }}", "42"),
        ("{{ outputs.ingest['rows'] + 1 }}", "43"),
        ("{{ outputs.ingest.items | join('-') }}", "a-b"),  # a key, not dict's method
        ("{{ outputs.nobody.rows | default(0) }}", "0"),
        ("{% if outputs.ingest.ok %}yes{% endif %}", "yes"),
        ("ends with a line\n{{ 1 }}\n", "ends with a line\n1\n"),
    ],
)
def test_texts_are_rendered(template: str, text: str) -> None:
    assert rendered(template) == text


def test_nested_values_are_rendered_and_all_else_stays() -> None:
    template = {"a": ["{{ var('days') }}", 7, None], "b": {"c": "{{ target.name }}"}, "d": True}

    assert rendered(template) == {"a": ["3", 7, None], "b": {"c": "dev"}, "d": True}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ outputs.ingest.rows }}", 42),
        ("{{ outputs.ingest }}", {"rows": 42, "items": ["a", "b"], "ok": True}),
        ("{{- outputs.ingest.ok -}}", True),
        ("{{ var('days') * 2 }}", 6),
        ("{{ none }}", None),
        ("{{ var('days') }} days", "3 days"),  # not alone
        ("{{ 1 }}{{ 2 }}", "12"),
        ("{{ '}}' }}", "}}"),
    ],
)
def test_natively_a_lone_expression_keeps_its_type(template: str, value: Any) -> None:
    assert rendered(template, native=True) == value
    assert rendered([template], native=True) == [value]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ env_var('BI_URL') }}", "Env var required but not provided: 'BI_URL'"),  # as dbt says
        ("{{ var('nope') }}", "Required var 'nope' not found in config"),
        ("{{ outputs.nobody.rows }}", "there is no 'nobody' (there is: ingest)"),
        ("{{ outputs.ingest.nope }}", "there is no 'nope' (there is: rows, items, ok)"),
        ("{{ nonsense }}", "'nonsense' is undefined"),
        ("{{ unclosed", "cannot render '{{ unclosed'"),
        ("{% endif %}", "cannot render '{% endif %}'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),  # the sandbox
    ],
)
@pytest.mark.parametrize("native", [False, True])
def test_a_mistake_is_one_sentence_that_quotes_the_template(
    template: str, said: str, native: bool
) -> None:
    with pytest.raises(TemplateError) as caught:
        rendered(template, native=native)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert template in str(caught.value)


@pytest.mark.parametrize("expression", ["json.status == 'done'", "{{ json.status == 'done' }}"])
def test_conditions_are_expressions_with_or_without_braces(expression: str) -> None:
    assert evaluate(expression, {"json": {"status": "done"}}) is True
    assert evaluate(expression, {"json": {"status": "busy"}}) is False


def test_a_condition_over_something_missing_says_what_there_is() -> None:
    with pytest.raises(TemplateError, match="there is no 'state'"):
        evaluate("json.state == 'done'", {"json": {"status": "done"}})


PENDING = {"json": {"status": "pending", "rows": [1, 1]}}


@pytest.mark.parametrize(
    "expression",
    [
        "json.items",
        "json['items']",
        "json.items.values",
        "not json.get",
        "json.items.foo()",
        "json.rows.count",
        "json.status.title",
    ],
)
def test_a_method_that_is_not_called_is_no_value(expression: str) -> None:
    with pytest.raises(TemplateError, match=r"there is no '(items|get)'|has no attribute"):
        evaluate(expression, PENDING)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("json.get('status')", "pending"),
        ("json.items() | length", 2),
        ("json.rows.count(1)", 2),
        ("json.status.upper()", "PENDING"),
        ("'{} it is'.format(json.status)", "pending it is"),
        ("json.items is defined", False),
        ("json.items | default(none)", None),
        ("json.items.first | default('none')", "none"),
    ],
)
def test_methods_can_be_called(expression: str, value: Any) -> None:
    assert evaluate(expression, PENDING) == value


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}1",
        "{% set l = range(9999) | list %}{% for i in l %}{% for j in l %}{% endfor %}{% endfor %}",
        "{% for i in range(9999) %}{{ range(9999) | sum }}{% endfor %}",
        "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n }}{% endmacro %}{{ f(99) }}",
        "{{ range(10 ** 15) | sum }}",
    ],
)
def test_a_template_without_an_end_has_one(template: str) -> None:
    with pytest.raises(TemplateError, match="more than 500,000 loops and calls; do such work in a"):
        rendered(template)


@pytest.mark.parametrize("expression", ["9 ** (9 ** 9)", "'x' * 10 ** 12", "10 ** 12 * [1]"])
def test_a_result_without_measure_is_refused(expression: str) -> None:
    with pytest.raises(TemplateError, match=r"the result of \*+ is too large"):
        rendered(f"{{{{ {expression} }}}}")
    with pytest.raises(TemplateError, match=r"the result of \*+ is too large"):
        evaluate(expression, {})


def test_every_template_may_do_as_much_as_another() -> None:
    for _ in range(3):
        assert rendered("{% for i in range(99999) %}1{% endfor %}") == "1" * 99999
    assert rendered("{% for i in 'ab' %}{{ loop.last }}{{ loop.length }}{% endfor %}") == (
        "False2True2"
    )
    loops = (
        "{% for a, b in [(1, 2), (3, 4)] if a > 1 %}{{ a * b }}{{ 2 ** -1 }}{% else %}-{% endfor %}"
    )
    assert rendered(loops) == "120.5"


FIRST = run_values(
    id="r1",
    pipeline="default",
    logical_date=datetime(2026, 3, 2, 6, tzinfo=UTC),
    data_interval_start=None,
    data_interval_end=datetime(2026, 3, 2, 6, tzinfo=UTC),
)


@pytest.mark.parametrize("name", ["data_interval_start", "previous_success_end"])
@pytest.mark.parametrize("native", [True, False])
def test_a_time_that_is_empty_is_no_text(name: str, native: bool) -> None:
    for use in (f"{{{{ run.{name} }}}}", f"{{{{ run.{name}.date() }}}}"):
        with pytest.raises(TemplateError, match=rf"{name} is empty, because no .* \| default"):
            rendered(use, run=FIRST, native=native)
    assert rendered(f"{{{{ run.{name} | default('ever') }}}}", run=FIRST, native=native) == "ever"
    assert rendered(f"{{{{ run.{name} is defined }}}}", run=FIRST) == "False"
