"""A run that fails, is mended, and is gone on with."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.acceptance.workspace import Done, Shown, Workspace
from tests.dbt2 import file_for_both
from tests.engines import PROCESS_2, SESSION_1_11, Can, Driven, over, shows

pytestmark = [shows(Can.RETRY)]

both = over(SESSION_1_11, PROCESS_2)

FILES = {
    "dbtorch.yml": """
        steps:
          load:
            python: tasks:load
            produces: source:raw.orders
          push:
            python: tasks:push
            after: [report, step:load]
    """,
    "tasks.py": """
        import duckdb

        def load(context):
            with duckdb.connect(context.target["path"]) as connection:
                connection.execute("create schema if not exists raw")
                connection.execute("create or replace table raw.orders as select 1 as id")
            with open("loaded.txt", "a") as file:
                file.write("loaded\\n")
            return {"rows": 1}

        def push(context):
            with open("pushed.txt", "a") as file:
                file.write(f"{context.outputs['load']['rows']} rows\\n")
    """,
    "models/orders.sql": "select * from {{ source('raw', 'orders') }}",
    "models/totals.sql": "select sum(nosuch) as total from {{ ref('orders') }}",
    "models/report.sql": "select * from {{ ref('totals') }}",
    "models/bystander.sql": "select 1 as id",
    "models/schema.yml": """
        sources:
          - {name: raw, tables: [{name: orders}]}
        models:
          - name: totals
            config:
              meta: {dbtorch: {owner: Ann, runbook: docs/totals.md}}
            columns: [{name: total, data_tests: [not_null]}]
        exposures:
          - name: board
            type: dashboard
            owner: {name: BI, email: bi@example.com}
            depends_on: [ref('report')]
    """,
}

BLOCKED = {"report", "board", "push", "not_null_totals_total"}
DONE = {"load", "orders", "bystander"}


@dataclass(frozen=True, kw_only=True)
class Story:
    """What a user sees, in order."""

    workspace: Workspace
    failed: Done
    failed_run: Shown
    failed_results: dict[str, str]
    again: Done  # a retry without mending anything
    mended: Done
    mended_run: Shown
    nothing: Done  # a retry of what succeeded


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, driven: Driven) -> Story:
    """Fail, retry in vain, mend, retry, retry once more."""
    workspace = Workspace(tmp_path_factory.mktemp("retry") / "shop", FILES, driven=driven)
    if driven is PROCESS_2:
        file_for_both(workspace.dir / "warehouse.duckdb")
    failed = workspace.dbtorch("run", "--target", "dev", code=1)
    failed_run, failed_results = workspace.show(), workspace.results()
    again = workspace.dbtorch("retry", code=1)
    workspace.write({"models/totals.sql": "select sum(id) as total from {{ ref('orders') }}"})
    mended = workspace.dbtorch("retry", failed_run.id[:18])
    mended_run = workspace.show()
    nothing = workspace.dbtorch("retry")
    return Story(
        workspace=workspace,
        failed=failed,
        failed_run=failed_run,
        failed_results=failed_results,
        again=again,
        mended=mended,
        mended_run=mended_run,
        nothing=nothing,
    )


@both
def test_a_failure_ends_its_own_descendants_and_nothing_else(story: Story) -> None:
    run = story.failed_run
    assert run.state == "failed"
    assert run.names("failed") == {"totals"}
    assert run.names("upstream_failed") == BLOCKED
    assert run.names("success") == DONE
    assert {run.nodes[name]["reason"] for name in BLOCKED} == {"model.shop.totals failed"}
    (attempt,) = run.nodes["totals"]["attempts"]
    assert attempt["failure_class"] == "code"


@both
@pytest.mark.parametrize(
    "said",
    [
        "FAIL  model totals (models/totals.sql)",  # which, and where it is written
        'Referenced column "nosuch" not found',  # the message
        "tried    1 attempt, code failure",  # no retry where none makes sense
        "owner    Ann",
        "runbook  docs/totals.md",
        "log      .dbtorch/runs/",
        "behind   4 nodes upstream failed: board, push, report, not_null_totals_total",
        "1 failed, 4 upstream failed, 3 success",
        "dbtorch retry  ",  # what to do next
    ],
)
def test_the_summary_is_something_to_act_on(story: Story, said: str) -> None:
    assert said in story.failed.out


@both
def test_the_log_that_the_summary_names_is_there(story: Story) -> None:
    (line,) = [line for line in story.failed.out.splitlines() if line.startswith("      log  ")]
    text = (story.workspace.dir / line.split()[1]).read_text()
    assert "select sum(nosuch)" in text


@both
def test_results_of_a_failed_run_are_complete(story: Story) -> None:
    statuses = {id.split(".")[2]: status for id, status in story.failed_results.items()}
    assert statuses == {
        "orders": "success",
        "bystander": "success",
        "totals": "error",
        "report": "skipped",
        "not_null_totals_total": "skipped",
        "board": "skipped",
    }


@both
def test_a_retry_runs_what_did_not_succeed_and_what_depends_on_it(story: Story) -> None:
    run = story.mended_run
    assert (run.id, run.state) == (story.failed_run.id, "success")
    assert set(run.states.values()) == {"success"}
    assert run.tries == {**dict.fromkeys(DONE | BLOCKED, 1), "totals": 3}
    assert story.workspace.lines("loaded.txt") == ["loaded"]
    assert len(story.workspace.runs()) == 1


@both
def test_outputs_of_the_first_stretch_reach_steps_of_the_second(story: Story) -> None:
    assert story.workspace.lines("pushed.txt") == ["1 rows"]


@both
def test_a_retry_says_what_was_done_before(story: Story) -> None:
    assert "8 nodes on target dev, 3 done before" in story.again.out
    assert "1 failed, 4 upstream failed, 3 success" in story.again.out
    assert "[8/8]" in story.mended.out


@both
def test_results_of_a_retried_run_are_complete(story: Story) -> None:
    results = story.workspace.results()
    assert results.keys() == story.failed_results.keys()
    assert set(results.values()) == {"success", "pass", "no-op"}


@both
def test_there_is_nothing_to_retry_in_a_run_that_succeeded(story: Story) -> None:
    assert story.nothing.out == (
        f"run {story.failed_run.id} succeeded; there is nothing to retry (`dbtorch rerun"
        f" {story.failed_run.id} --select …` runs a part of it again)\n"
    )


@over(SESSION_1_11)
def test_a_retry_stays_on_the_target_of_the_run(workspace: Workspace) -> None:
    workspace.write(
        {
            "profiles.yml": """
                shop:
                  target: "{{ env_var('STAGE', 'dev') }}"
                  outputs:
                    dev: {type: duckdb, path: warehouse.duckdb, schema: dev}
                    prod: {type: duckdb, path: warehouse.duckdb, schema: prod}
            """,
            "models/orders.sql": "select 1 as id, {{ target.name }} as stage",
        }
    )
    workspace.dbtorch("run", code=1, env={"STAGE": "prod"})
    workspace.write({"models/orders.sql": "select 1 as id, '{{ target.name }}' as stage"})
    workspace.dbtorch("retry", cwd=workspace.home, code=2)  # not from a folder without a project
    workspace.dbtorch("retry", "--project-dir", str(workspace.dir), cwd=workspace.dir / "models")
    assert workspace.query("select stage from prod.orders") == [("prod",)]


@over(SESSION_1_11)
def test_retrying_before_the_first_run_says_so(workspace: Workspace) -> None:
    assert "there is no run history yet" in workspace.refused("retry")


@both
def test_a_run_that_dbt_could_not_parse_is_executed_whole_by_a_retry(workspace: Workspace) -> None:
    workspace.write({"models/one.sql": "select {{ 1", "models/two.sql": "select 2 as id"})
    assert "models/one.sql" in workspace.dbtorch("run", code=2).err
    assert "failed" in workspace.dbtorch("status", code=3).out
    workspace.dbtorch("run", "--select", "two", code=2)
    assert "models/one.sql" in workspace.dbtorch("show").out
    workspace.write({"models/one.sql": "select 1 as id"})
    workspace.dbtorch("retry")
    assert workspace.show().states == {"two": "success"}  # as it was selected
