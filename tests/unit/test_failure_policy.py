"""What happens after a failure, as a user says it: retries, on_failure, rules, circuit breaker."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.config.meta import settings_of
from dbtorch.app.planning import make_plan
from dbtorch.app.step_wiring import Choice
from dbtorch.cli.text.plan import plan_text
from dbtorch.core.config import Config
from dbtorch.core.errors import ConfigError
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.policy import Breaker, OnFailure, Retry
from dbtorch.core.model.state import FailureClass
from dbtorch.core.plan import SESSION_OPEN, Plan
from dbtorch.core.settings import Settings
from tests.unit.test_planning import config, selected, step

T, D, C, U = (
    FailureClass.TRANSIENT,
    FailureClass.DATA,
    FailureClass.CODE,
    FailureClass.UNKNOWN,
)
O = FailureClass.TIMEOUT  # noqa: E741

Written = Callable[[str], Config]


def test_without_a_word_it_is_retried_where_that_may_help() -> None:
    assert Settings().retry() == Retry(retries={T: 2, O: 1, U: 1})


def test_everything_about_retries_can_be_said(written: Written) -> None:
    said = written(
        """\
        defaults:
          retry:
            on: {transient: 5, timeout: 0, unknown: 0, data: 1, code: 2}
            budget: 30m
            delay: 1s
            max_delay: 2m
            jitter: false
        """
    ).defaults
    assert said.retry() == Retry(
        retries={T: 5, O: 0, U: 0, D: 1, C: 2},
        budget=1800.0,
        delay=1.0,
        max_delay=120.0,
        jitter=False,
    )


#: weakest level first -> retries by class, and how many in all
LEVELS: list[tuple[list[Settings], dict[FailureClass, int], int | None]] = [
    ([Settings(retries=3)], {T: 3, O: 3, U: 3}, 3),
    ([Settings(retry_on={T: 5})], {T: 5, O: 1, U: 1}, None),
    # class by class
    ([Settings(retry_on={T: 5, D: 1}), Settings(retry_on={D: 0, O: 4})], {T: 5, O: 4, U: 1}, None),
    # one number, and an exception
    ([Settings(retries=3), Settings(retry_on={O: 0})], {T: 3, O: 0, U: 3}, 3),
    ([Settings(retries=3, retry_on={T: 5})], {T: 5, O: 3, U: 3}, 5),
    # a number of a stronger level is said anew, for all classes
    ([Settings(retry_on={T: 5, D: 1}), Settings(retries=0)], {T: 0, O: 0, U: 0}, 0),
    ([Settings(retry_on={T: 5}), Settings(retries=1, retry_on={C: 1})], {T: 1, C: 1, O: 1, U: 1}, 1),
]  # fmt: skip


@pytest.mark.parametrize(("levels", "retries", "limit"), LEVELS)
def test_levels_are_put_together(
    levels: list[Settings], retries: dict[FailureClass, int], limit: int | None
) -> None:
    said = Settings()
    for level in levels:
        said = level.over(said)
    found = said.retry()
    assert {kind: n for kind, n in found.retries.items() if n or kind in retries} == retries
    assert found.limit == limit


def test_settings_outlive_the_history() -> None:
    said = Settings(retry_on={T: 5}, on_failure=OnFailure.CONTINUE)
    again = Settings(**json.loads(json.dumps(asdict(said))))
    assert again.retry() == said.retry()
    assert again.on_failure == said.on_failure


def test_dbt_takes_on_for_true(tmp_path: Path) -> None:
    # the key of `retry: {on: …}` in a YAML file that dbt has read and written into its manifest
    meta = {"dbtorch": {"retry": {"true": {"transient": 4}}}}
    found = settings_of(meta, node="model.shop.a", file="a.yml", project_dir=tmp_path)
    assert found == Settings(retry_on={T: 4})


def test_a_mistake_under_on_is_found_in_its_line(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.yml").write_text(
        "models:\n  - name: a\n    config:\n      meta:\n        dbtorch:\n          retry:\n"
        "            on: {transiet: 4}\n"
    )
    meta = {"dbtorch": {"retry": {"true": {"transiet": 4}}}}
    with pytest.raises(ConfigError) as caught:
        settings_of(meta, node="model.shop.a", file="models/a.yml", project_dir=tmp_path)
    assert caught.value.problems == (
        'models/a.yml:7: unknown key "transiet" in meta.dbtorch.retry.on of model.shop.a; '
        'did you mean "transient"?',
    )


# ------------------------------------------------------------ in the plan


def plan_with(
    configuration: Config, settings: dict[str, Settings] | None = None, **choice: Any
) -> Plan:
    return make_plan(
        choice.pop("found", selected()), configuration, settings or {}, {}, Choice(**choice)
    ).plan


def test_a_pipeline_stands_between_defaults_and_nodes() -> None:
    own = {"model.mart": Settings(retry_on={O: 7})}
    plan = plan_with(
        config(step("load"), defaults=Settings(retry_on={T: 1, O: 1, D: 1}, retry_delay=1.0)),
        own,
        pipeline=Settings(retry_on={T: 3}),
    )
    by_default = {T: 3, O: 1, U: 1, D: 1}
    assert plan.policy("step.load").retry == Retry(retries=by_default, delay=1.0)
    assert plan.policy(SESSION_OPEN).retry == plan.policy("step.load").retry
    assert plan.policy("model.mart").retry.retries == by_default | {O: 7}


def test_options_of_the_command_line_are_strongest() -> None:
    own = {"model.mart": Settings(retry_on={T: 9, D: 9})}
    plan = plan_with(config(), own, overrides=Settings(retries=1))
    assert plan.policy("model.mart").retry == Retry.times(1)


@pytest.mark.parametrize(
    ("on_error", "own", "everywhere", "expected"),
    [
        ("", None, None, OnFailure.BLOCK),
        ("continue", None, None, OnFailure.CONTINUE),
        ("skip_children", None, OnFailure.CONTINUE, OnFailure.BLOCK),  # dbt was told of this model
        ("continue", OnFailure.BLOCK, None, OnFailure.BLOCK),  # and dbtorch, too
        ("", OnFailure.CONTINUE, None, OnFailure.CONTINUE),
        ("", None, OnFailure.CONTINUE, OnFailure.CONTINUE),
        ("some word of dbt 3", None, None, OnFailure.BLOCK),
    ],
)
def test_dbts_on_error_counts(
    on_error: str,
    own: OnFailure | None,
    everywhere: OnFailure | None,
    expected: OnFailure,
) -> None:
    found = selected()
    nodes = (replace(n, on_error=on_error) if n.id == "model.mart" else n for n in found.nodes)
    plan = plan_with(
        config(defaults=Settings(on_failure=everywhere)),
        {"model.mart": Settings(on_failure=own)},
        found=replace(found, nodes=tuple(nodes)),
    )
    assert plan.policy("model.mart").on_failure is expected


@pytest.mark.parametrize(
    ("text", "breaker"),
    [
        ("version: 1", Breaker()),
        ("circuit_breaker: true", Breaker()),
        ("circuit_breaker:", Breaker()),  # all of its keys are comments
        ("circuit_breaker: false", None),
        (
            "circuit_breaker: {failures: 3, window: 2m, pause: 5}",
            Breaker(failures=3, window=120.0, pause=5.0),
        ),
        ("circuit_breaker: {failures: 3}", Breaker(failures=3)),
    ],
)
def test_the_circuit_breaker(written: Written, text: str, breaker: Breaker | None) -> None:
    assert plan_with(written(text)).breaker == breaker


# ------------------------------------------------------------ rules


def test_rules_are_read(written: Written) -> None:
    found = written(
        """\
        failure_classes:
          - {class: transient, sqlstate: [40001, "08", 57P01], exception: pymysql.err}
          - {class: timeout, errno: [1205, jobTimeout], message: "too (long|slow)"}
          - class: data
            exit_status: 3
          - {class: unknown, http_status: [409, 5xx]}
        """
    ).failure_classes
    assert found == (
        Rule(failure_class=T, sqlstate=("40001", "08", "57P01"), exception=("pymysql.err",)),
        Rule(failure_class=O, errno=("1205", "jobTimeout"), message="too (long|slow)"),
        Rule(failure_class=D, exit_status=(3,)),
        Rule(failure_class=U, http_status=("409", "5xx")),
    )


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{class: transient}", "[0] names no evidence; give it one of sqlstate, exception, "),
        ("{sqlstate: 40001}", "[0] has no class"),
        ("{class: transiet, errno: 1}", '[0].class is "transiet"; did you mean "transient"?'),
        ("{class: dependency, errno: 1}", '[0].class is "dependency"; expected one of transient, '),
        ("{class: data, sqlstate: 4001}", "[0].sqlstate is 4001; expected five characters, "),
        ("{class: data, sqlstate: [x]}", '[0].sqlstate[0] is "x"; expected five characters, '),
        ("{class: data, exception: a b}", '[0].exception is "a b"; expected the name of a '),
        ("{class: data, errno: true}", "[0].errno is true; expected the driver's number or name"),
        ("{class: data, exit_status: 0}", "[0].exit_status is 0; expected a whole number from 1 "),
        ("{class: data, http_status: 700}", "[0].http_status is 700; expected a status such as "),
        (
            "{class: data, message: '('}",
            '[0].message is "("; which is no regular expression for this: ',
        ),
        ("{class: data, mesage: x}", ': unknown key "mesage" in failure_classes[0]; did you mean'),
        ("transient", '[0] is "transient"; expected a mapping with the keys class, sqlstate, '),
    ],
)
def test_a_wrong_rule_is_one_sentence(written: Written, rule: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(f"version: 1\nfailure_classes:\n  - {rule}\n")
    first = caught.value.problems[0]
    assert re.match(r"dbtorch\.yml:3: ", first)
    assert problem in first


def test_rules_stand_in_a_list(written: Written) -> None:
    with pytest.raises(ConfigError, match=r"dbtorch\.yml:1: failure_classes is a mapping; expect"):
        written("failure_classes: {class: data, errno: 3}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("circuit_breaker: 5", "circuit_breaker is 5; expected a mapping with the keys failures"),
        ("circuit_breaker: {failures: 0}", "circuit_breaker.failures is 0; expected a whole"),
        ("circuit_breaker: {pause: 0}", "circuit_breaker.pause is 0; expected more than 0 seconds"),
        ("defaults: {on_failure: contine}", 'is "contine"; did you mean "continue"?'),
        ("defaults: {retry: {on: 3}}", "defaults.retry.on is 3; expected a mapping with the keys"),
        ("defaults: {retry: {on: {dependency: 1}}}", 'unknown key "dependency" in defaults.retry'),
        ("defaults: {retry: {budget: x}}", 'defaults.retry.budget is "x"; a duration is'),
        ("pipelines: {a: {retry: {on: {code: -1}}}}", "pipelines.a.retry.on.code is -1; expected"),
    ],
)
def test_other_mistakes(written: Written, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        written(text)


# ------------------------------------------------------------ shown


def test_a_plan_shows_the_policy() -> None:
    own = {
        "model.mart": Settings(
            retry_on={T: 5, D: 1}, retry_budget=1800.0, retry_jitter=False, retry_delay=30.0
        ),
        "test.mart": Settings(on_failure=OnFailure.CONTINUE),
        "model.stg_orders": Settings(retries=3, retry_on={T: 5}),
        "model.stg_visits": Settings(retries=0),
    }
    plan = plan_with(config(), own)
    lines = plan_text(plan).splitlines()

    def line(name: str) -> str:
        (found,) = [one for one in lines if re.search(rf" {name} +(after|selected)", one)]
        return found

    assert line("model mart").endswith(
        "retries 5 transient, 1 timeout, 1 unknown, 1 data "
        "(after 30s, at most 5m 00s, exactly, none later than 30m 00s)"
    )
    assert line("test mart").endswith("blocks nothing if it fails")
    assert "retries 5 transient, 3 timeout, 3 unknown, 5 in all (" in line("model stg_orders")
    assert line("model stg_visits").endswith("retries none")
    assert (
        "Retries     2 transient, 1 timeout, 1 unknown (after 10s, at most 5m 00s), "
        "where nothing else is said" in lines
    )
    assert "Breaker     5 nodes failing transiently within 1m 00s pause dbt for 30s" in lines
    assert "Breaker     none" in plan_text(plan_with(config(circuit_breaker=None)))

    found = json.loads(plan_text(plan, format="json"))
    (mart,) = [node for node in found["nodes"] if node["id"] == "model.mart"]
    assert mart["retries"] == {"transient": 5, "timeout": 1, "unknown": 1, "data": 1}
    assert (mart["retry_limit"], mart["retry_jitter"], mart["retry_budget"]) == (None, False, 1800)
    assert mart["on_failure"] == "block"
    assert found["circuit_breaker"] == {
        "failures": 5,
        "window": 60.0,
        "pause": 30.0,
        "patience": 3600.0,
    }
