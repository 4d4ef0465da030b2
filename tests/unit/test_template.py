"""Templates: dbt's functions, what a run is called in them, and what is said about mistakes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dbtorch.adapters.template import TemplateError, evaluate, render, run_values

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
