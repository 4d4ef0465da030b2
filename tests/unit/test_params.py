"""Parameters of a pipeline: what may be said, what is refused, and where they arrive."""

import json
from datetime import UTC, datetime

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.steps.context import environment, idempotency_key
from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import ConfigError, UsageError
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.state import RunState
from dbtorch.core.params import ParamSpec, ParamType, settled
from dbtorch.core.schedule.cause import Cause, CauseKind, cause_of
from dbtorch.ports.steps import StepContext
from dbtorch.service.project.options import TICK, TICK_INTERVAL, RunOptions
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.pipeline_args import pipeline_args
from dbtorch.service.schedule.causes import telling, told_cause

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)

SPECS = {
    "country": ParamSpec(default="de", choices=("de", "fr")),
    "days": ParamSpec(type=ParamType.INTEGER),
    "since": ParamSpec(type=ParamType.DATE, required=False),
    "full": ParamSpec(default=False),
    "rate": ParamSpec(default=0.5),
}


def test_what_is_given_counts_and_defaults_fill_the_rest():
    given = {"days": "3", "full": "true", "since": "2026-11-01", "rate": 2}
    assert settled("daily", SPECS, given) == {
        "country": "de",
        "days": 3,
        "since": "2026-11-01",
        "full": True,
        "rate": 2.0,
    }
    assert settled("daily", SPECS, {"days": 1})["since"] is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "pipeline daily needs a value: --param days=…, or a default of it"),
        ({"days": "x"}, "parameter days of pipeline daily is 'x'; expected a whole number"),
        ({"days": True}, "expected a whole number"),
        ({"days": "9" * 5000}, "expected a whole number"),
        ({"days": 1, "country": "it"}, "is 'it'; expected one of de, fr"),
        ({"days": 1, "country": "d\ne"}, "expected text on one line"),
        ({"days": 1, "contry": "de"}, "has no parameter 'contry'; did you mean \"country\"?"),
        ({"days": 1, "since": "yesterday"}, "expected a date such as 2026-11-01"),
        ({"days": 1, "full": "yes"}, "expected true or false"),
        ({"days": 1, "rate": "nan"}, "expected a number"),
        ({"days": 1, "country": ["de"]}, "expected text on one line"),
    ],
)
def test_what_no_run_can_use_is_refused_in_a_sentence(given, why):
    with pytest.raises(UsageError) as caught:
        settled("daily", SPECS, given)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_pipeline_without_parameters_takes_none():
    with pytest.raises(UsageError, match="pipeline daily has no parameter 'a'; it has none"):
        settled("daily", {}, {"a": "1"})


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("{default: it, choices: [de]}", 'default has "it"; expected one of de'),
        ("{type: integer, default: de}", 'default has "de"; expected a whole number'),
        ("{type: date, choices: [2026-11-01, soon]}", 'choices has "soon"; expected a date'),
        ("{default: de, required: true}", "required has no effect beside a default"),
        ("{type: text}", "expected one of string, integer, number, boolean, date"),
    ],
)
def test_a_declaration_that_contradicts_itself_names_its_line(tmp_path, written, why):
    text = f"version: 1\npipelines:\n  daily:\n    params:\n      country: {written}\n"
    (tmp_path / "dbtorch.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={})
    assert why in str(caught.value)
    assert "dbtorch.yml:5" in str(caught.value)


def test_a_value_alone_is_a_default(tmp_path):
    text = "version: 1\npipelines:\n  daily:\n    params: {country: de, days: 3}\n"
    (tmp_path / "dbtorch.yml").write_text(text)
    specs = load(tmp_path, environ={}).pipelines["daily"].params
    assert settled("daily", specs, {}) == {"country": "de", "days": 3}
    assert specs["days"].kind is ParamType.INTEGER


def about(**given):
    pipeline = PipelineSpec(name="daily", vars={"land": "{{ params.country }}"}, params=SPECS)
    params = settled("daily", SPECS, {"days": 1, **given})
    cause = Cause(kind=CauseKind.FILE, text="in/a.csv appeared")
    context = RunContext.of(
        pipeline, NOON, NOON.replace(hour=13), run_id="r1", params=params, cause=cause
    )
    return pipeline, context


def test_they_reach_vars_and_stay_with_the_run():
    pipeline, context = about(country="fr")
    words = pipeline_args(pipeline, RunOptions(environ={}), context)
    assert json.loads(words[1]) == {"land": "fr"}
    assert context.run["params"]["country"] == "fr"
    assert context.run["trigger"] == {"kind": "file", "text": "in/a.csv appeared"}
    record = RunRecord(
        run_id="r1",
        pipeline="daily",
        project="shop",
        target="dev",
        logical_date=NOON,
        data_interval_start=NOON,
        data_interval_end=NOON,
        state=RunState.FAILED,
        started_at=NOON,
        options=context.record(),
    )
    again = RunContext.recorded(record, {})
    assert (again.params, again.trigger) == (context.params, context.trigger)


def test_a_run_with_other_parameters_is_another_one_for_those_who_ask_not_to_do_it_twice():
    def key(**given):
        given = {"params": about(**given)[1].params} if given else {}
        context = StepContext(
            run_id="r1",
            project="shop",
            pipeline="daily",
            logical_date=NOON,
            data_interval_start=NOON,
            data_interval_end=NOON,
            project_dir=None,
            **given,
        )
        return idempotency_key(context, "load")

    assert len({key(), key(country="de"), key(country="fr")}) == 3
    assert key(country="de") == key(country="de")


def test_a_run_is_told_what_made_it_and_hands_that_to_nobody():
    cause = Cause(kind=CauseKind.WEBHOOK, by="10.0.0.1", key="k1", params={"country": "fr"})
    environ = {TICK: "t1", **telling(cause)}
    assert told_cause(environ) == cause
    assert environ == {TICK: "t1"}
    assert told_cause({TICK: "t1", TICK_INTERVAL: "x"}).kind is CauseKind.SCHEDULE
    assert told_cause({}) is None
    with pytest.raises(UsageError, match="is not what `dbtorch serve` writes"):
        told_cause({"DBTORCH_TICK_CAUSE": '{"kind": "of tomorrow"}'})
    assert cause_of(cause.as_json()) == Cause(kind=CauseKind.WEBHOOK, by="10.0.0.1", key="k1")


def test_a_step_s_process_knows_what_started_the_run():
    told = {
        "run_id": "r",
        "pipeline": "p",
        "step": "s",
        "attempt": 1,
        "logical_date": "",
        "data_interval_start": None,
        "data_interval_end": "",
        "previous_success_end": None,
        "project_dir": "",
        "idempotency_key": "",
        "target": {},
        "partition": None,
        "trigger": {"kind": "file"},
    }
    assert environment(told)["DBTORCH_TRIGGER"] == "file"


def test_where_nothing_runs_what_a_run_would_have_to_be_told_is_null():
    assert settled("daily", SPECS, {}, runs=False)["days"] is None
    with pytest.raises(UsageError, match="has no parameter"):
        settled("daily", SPECS, {"nosuch": 1}, runs=False)
