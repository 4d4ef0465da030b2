"""What happens after failures, as a user says it and sees it: one run with each dbt, one plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.acceptance.workspace import Done, Shown, Workspace
from tests.engines import ENGINES, Can, Driven, over, shows
from tests.unit.loopback import serving

FILES = {
    "dbtorch.yml": """
        defaults:
          retry: {on: {unknown: 0}, delay: 0s}
        failure_classes:
          - {class: transient, exit_status: 3, message: the lake is (busy|frozen)}
          - {class: transient, exception: duckdb, message: not_yet}
        circuit_breaker: {failures: 50}
        steps:
          waits: {python: tasks:waits, opens_database: false}
          asked: {http: {url: "{{ env_var('URL') }}/asked"}}
          own_rule:
            command: '[ "$DBTORCH_ATTEMPT" = 2 ] || { echo the lake is frozen; exit 3; }'
            opens_database: false
          no_rule: {command: exit 3, opens_database: false}
          after_no_rule: {command: "true", after: step:no_rule, opens_database: false}
          out_of_budget:
            python: tasks:asks_for_an_hour
            retry: {budget: 5m, on: {transient: 5}}  # an hour is ten minutes, by max_delay
            opens_database: false
          forgiven: {command: exit 1, on_failure: continue, opens_database: false}
          after_forgiven: {command: "true", after: step:forgiven, opens_database: false}
        pipelines:
          patient: {retry: {on: {unknown: 7}}}
    """,
    "tasks.py": """
        import dbtorch

        def waits(context):
            if context.attempt == 1:
                raise dbtorch.Retry("not yet", after=1.5)

        def asks_for_an_hour(context):
            raise dbtorch.Retry("closed", after=3600)
    """,
    "models/own_rule_in_dbt.sql": "select not_yet",
    "models/tried_twice.sql": "select nothing",
    "models/nulls.sql": "select cast(null as integer) as id",
    "models/after_nulls.sql": "select * from {{ ref('nulls') }}",
    "models/models.yml": """
        models:
          # dbt reads the key as the word true
          - {name: tried_twice, config: {meta: {dbtorch: {retry: {on: {code: 1}}}}}}
          - name: nulls
            columns:
              - name: id
                data_tests:
                  - not_null: {name: known_nulls, config: {meta: {dbtorch: {on_failure: continue}}}}
    """,
}


@dataclass(frozen=True, kw_only=True)
class Story:
    workspace: Workspace
    done: Done
    run: Shown

    def waited(self, name: str) -> float:
        """Seconds from the end of the first attempt to the start of the second."""
        first, second = self.run.nodes[name]["attempts"]
        ended, began = map(datetime.fromisoformat, (first["finished_at"], second["started_at"]))
        return (began - ended).total_seconds()

    def classes(self, name: str) -> list[str | None]:
        return [attempt["failure_class"] for attempt in self.run.nodes[name]["attempts"]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, driven: Driven) -> Iterator[Story]:
    """One run of everything."""
    workspace = Workspace(tmp_path_factory.mktemp("failures") / "shop", FILES, driven=driven)
    with serving() as server:
        server.says("/asked", (503, {"Retry-After": "1"}, None), 200)
        workspace.env["URL"] = server.url
        done = workspace.dbtorch("run", code=1)
        yield Story(workspace=workspace, done=done, run=workspace.show())


@over(*ENGINES)
@shows(Can.RETRIES)
def test_the_other_side_says_how_long_to_wait(story: Story) -> None:
    assert story.classes("waits") == ["transient", None]
    assert story.waited("waits") >= 1.5
    assert story.classes("asked") == ["transient", None]
    assert story.waited("asked") >= 1


@over(*ENGINES)
@shows(Can.RETRIES)
def test_rules_of_the_user_hold_for_steps_and_dbt(story: Story, driven: Driven) -> None:
    assert story.classes("own_rule") == ["transient", None]
    assert story.classes("no_rule") == ["unknown"]
    # dbt 2 raises no exception that a rule could name
    assert story.classes("own_rule_in_dbt") == (
        ["code"] if driven.is_process else ["transient"] * 3
    )


@over(*ENGINES)
@shows(Can.RETRIES)
def test_a_model_has_numbers_of_its_own(story: Story) -> None:
    assert story.classes("tried_twice") == ["code", "code"]


@over(*ENGINES)
@shows(Can.RETRIES)
def test_no_attempt_starts_after_the_budget(story: Story) -> None:
    assert story.classes("out_of_budget") == ["transient"]


@over(*ENGINES)
@shows(Can.RETRIES)
def test_a_failure_may_block_nothing(story: Story) -> None:
    states = story.run.states
    assert (states["forgiven"], states["after_forgiven"]) == ("failed", "success")
    assert (states["no_rule"], states["after_no_rule"]) == ("failed", "upstream_failed")
    assert (states["known_nulls"], states["after_nulls"]) == ("failed", "success")
    assert story.run.state == "failed"


def test_the_plan_shows_it(workspace: Workspace) -> None:
    workspace.write(FILES)
    workspace.env["URL"] = "http://127.0.0.1:9"
    plan = workspace.dbtorch("plan", "--pipeline", "patient").out
    assert "Retries     2 transient, 1 timeout, 7 unknown (after 0s, at most 5m 00s), where" in plan
    assert "Breaker     50 nodes failing transiently within 1m 00s pause dbt for 30s" in plan

    nodes = workspace.dbtorch("plan", "--format", "json").json()["nodes"]
    said = {node["name"]: node for node in nodes}
    assert said["tried_twice"]["retries"]["code"] == 1
    assert said["waits"]["retries"] == {"transient": 2, "timeout": 1, "unknown": 0}
    assert said["out_of_budget"]["retry_budget"] == 300
    assert said["known_nulls"]["on_failure"] == "continue"
