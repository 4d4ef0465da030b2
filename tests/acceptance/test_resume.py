"""Runs that are broken off for real, and gone on with."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace

import duckdb
import pytest

from dbtorch.adapters.store import open_store
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.state import State
from dbtorch.service.project.store_scope import reader_of
from tests.acceptance.slow import SLOW, SLOW_SQL, set_slow, slow
from tests.acceptance.workspace import Done, Shown, Workspace
from tests.chaos.verdict import ledger_problems
from tests.dbt2 import file_for_both
from tests.engines import PROCESS_2, SESSION_1_11, Can, Driven, over, shows
from tests.waiting import eventually, wait_for

RUN = ("run", "--log-format", "json")

#: A step and a model that are under way when the supervisor dies, one of each that were done.
FILES = {
    "dbtorch.yml": """
        steps:
          load: {command: "echo loaded >> load.txt", opens_database: false, produces: source:raw.orders}
          crawl: {command: "echo crawled >> crawl.txt; test -f go || sleep 600", opens_database: false}
          publish: {command: "echo published >> publish.txt", after: [after_slow, step:crawl]}
    """,
    "models/schema.yml": """
        sources: [{name: raw, tables: [{name: orders, identifier: quick}]}]
        models: [{name: quick, columns: [{name: id, data_tests: [not_null]}]}]
    """,
    "models/late.sql": "select 1 as id, '{{ source('raw', 'orders') }}' as origin",
}


def broken_off(workspace: Workspace, *more: str) -> Workspace:
    """Kill the supervisor while a step and a model are under way."""
    with workspace.started(*RUN, *more) as run:
        run.wait_for_node(SLOW)
        run.wait_for_node("step.crawl")
        run.wait_for_node("model.shop.late", "success")
        run.wait_for_node("model.shop.quick", "success")
        os.kill(run.pid, signal.SIGKILL)
        run.process.wait()
        assert workspace.is_quiet()
    return workspace


def let_go(workspace: Workspace) -> None:
    set_slow(workspace, slow=False)
    workspace.write({"go": ""})


def record_of(workspace: Workspace, url: str | None = None) -> RunRecord:
    """The newest run with its transitions."""
    whose = replace(reader_of(workspace.dir, url), places={})
    store = open_store(url, workspace.dir, create=False, identity=whose)
    try:
        record = store.run(store.find("latest")[0])
    finally:
        store.close()
    assert record is not None
    return record


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def history(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """Options that name a history of each kind."""
    if request.param == "sqlite":
        yield ()
    else:
        yield ("--database-url", request.getfixturevalue("postgres_url"))


def test_a_killed_run_goes_on_and_nothing_that_succeeded_is_done_again(
    workspace: Workspace, history: tuple[str, ...]
) -> None:
    workspace.write(FILES)
    slow(workspace)
    workspace.write({"dbtorch.yml": FILES["dbtorch.yml"]})
    broken_off(workspace, *history)
    dead = workspace.show(env=_named(history))
    assert dead.state == "interrupted"
    assert "running" not in dead.states.values()
    done = dead.names("success")
    assert {"load", "quick", "late"} <= done

    again = workspace.dbtorch("retry", *history, code=2, env={"DBTORCH_LEASE_LIFETIME": "soon"})
    assert "DBTORCH_LEASE_LIFETIME" in again.err
    broken_off_again(workspace, history)
    let_go(workspace)
    retried = workspace.dbtorch("retry", *history)
    assert "2 attempts lost: the process of the run (pid " in retried.out

    shown = workspace.show(env=_named(history))
    assert (shown.id, shown.state) == (dead.id, "success")
    assert set(shown.states.values()) == {"success"}
    assert shown.tries == {**dict.fromkeys(shown.states, 1), "slow": 3, "crawl": 3}
    for name in ("slow", "crawl"):
        *lost, last = shown.nodes[name]["attempts"]
        assert [one["number"] for one in lost] == [1, 2]
        for one in lost:
            assert (one["state"], one["failure_class"], one["lost"]) == (
                "failed",
                "transient",
                True,
            )
            assert one["message"].startswith("lost: the process of the run (pid ")
            assert one["message"].endswith(") was gone")
        assert (last["state"], last["lost"]) == ("success", False)
    assert workspace.lines("load.txt") == ["loaded"]
    assert workspace.lines("publish.txt") == ["published"]
    assert workspace.lines("crawl.txt") == ["crawled"] * 3
    assert "attempt 1  failed (lost)" in workspace.dbtorch("show", *history).out

    record = record_of(workspace, history[-1] if history else None)
    assert ledger_problems(record) == []
    assert [action.action for action in record.actions] == ["retry", "retry"]
    assert all("@" in action.actor and action.handled_at for action in record.actions)
    assert set(workspace.results().values()) <= {"success", "pass"}


def broken_off_again(workspace: Workspace, history: tuple[str, ...]) -> None:
    """The one that goes on is killed as well."""
    with workspace.started("retry", "--log-format", "json", *history) as run:
        run.wait_for_node(SLOW)
        run.wait_for_node("step.crawl")
        os.kill(run.pid, signal.SIGKILL)
        run.process.wait()
        assert workspace.is_quiet()


@over(SESSION_1_11, PROCESS_2)
@shows(Can.HOOKS)
def test_a_run_that_died_closing_is_closed_by_the_next_one(workspace: Workspace) -> None:
    """Everything is built, and on-run-end hooks are still to run."""
    slow_hook = " ".join(SLOW_SQL.partition("}}")[2].split())
    workspace.write(
        {
            "models/quick.sql": "select 1 as id",
            "dbt_project.yml": f"""
                name: shop
                profile: shop
                on-run-end: "create or replace table closed as {slow_hook}"
            """,
        }
    )
    set_slow(workspace, slow=True)
    with workspace.started("run", "--log-format", "json") as run:
        run.wait_for_node("session.close")
        os.kill(run.pid, signal.SIGKILL)
        run.process.wait()
        assert workspace.is_quiet()
    set_slow(workspace, slow=False)
    workspace.dbtorch("retry")
    shown = workspace.show()
    assert (shown.state, shown.tries["quick"]) == ("success", 1)
    assert shown.states["shop-on-run-end-0"] == "success"
    assert workspace.query("select count(*) from closed") == [(1,)]
    assert workspace.results() == {
        "model.shop.quick": "success",
        "operation.shop.shop-on-run-end-0": "success",
    }


def test_a_run_that_timed_out_goes_on(workspace: Workspace) -> None:
    slow(workspace)
    workspace.dbtorch("run", "--timeout", "10", "--retries", "0", code=1)
    assert workspace.show().nodes["slow"]["attempts"][0]["failure_class"] == "timeout"
    set_slow(workspace, slow=False)
    workspace.dbtorch("retry")
    shown = workspace.show()
    assert shown.state == "success"
    assert shown.tries == {"quick": 1, "slow": 2, "after_slow": 1, "publish": 1}
    assert ledger_problems(record_of(workspace)) == []


# ---------------------------------------------------------------- with other code

SHOP = {
    "macros/money.sql": "{% macro money(x) %}{{ x }} / 100{% endmacro %}",
    "models/base.sql": "select 1 as id, 500 as cents",
    "models/orders.sql": "select id, {{ money('cents') }} as total from {{ ref('base') }}",
    "models/report.sql": "select sum(total) as total from {{ ref('orders') }}",
    "models/bystander.sql": "select 1 as id",
    "models/dropped.sql": "select 1 as id",
    "models/broken.sql": "select nosuch from {{ ref('base') }}",
    "models/doomed.sql": "select * from {{ ref('broken') }}",
    "models/schema.yml": "models: [{name: orders, columns: [{name: id, data_tests: [not_null]}]}]",
    "dbtorch.yml": """
        steps:
          load: {command: "echo loaded >> load.txt"}
    """,
}


@dataclass(frozen=True, kw_only=True)
class Story:
    """What a user does and sees, in order."""

    workspace: Workspace
    failed: Shown
    same_code: Done  # refused before anything has changed that counts
    refused: str  # --same-code, when something has
    mended: Done
    run: Shown
    record: RunRecord


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, driven: Driven) -> Story:
    """A run fails; code changes, a node comes, one goes and one's view is dropped; it goes on."""
    workspace = Workspace(tmp_path_factory.mktemp("code") / "shop", SHOP, driven=driven)
    if driven is PROCESS_2:
        file_for_both(workspace.dir / "warehouse.duckdb")
    workspace.dbtorch("run", "--vars", "{most: 1}", code=1)
    failed = workspace.show()
    same_code = workspace.dbtorch("retry", "--same-code", code=1)
    workspace.write(
        {
            "macros/money.sql": "{% macro money(x) %}{{ x }} / 100.0{% endmacro %}",
            "models/broken.sql": "select id from {{ ref('base') }}",
            "models/fresh.sql": "select * from {{ ref('base') }}",
        }
    )
    (workspace.dir / "models" / "doomed.sql").unlink()
    with duckdb.connect(str(workspace.dir / "warehouse.duckdb")) as warehouse:
        warehouse.execute("drop view dropped")
    refused = workspace.refused("retry", "--same-code")
    mended = workspace.dbtorch("retry", "--reason", "fixed the column")
    return Story(
        workspace=workspace,
        failed=failed,
        same_code=same_code,
        refused=refused,
        mended=mended,
        run=workspace.show(),
        record=record_of(workspace),
    )


@over(SESSION_1_11, PROCESS_2)
@shows(Can.OTHER_CODE)
def test_what_changed_since_it_succeeded_runs_again_and_nothing_else(story: Story) -> None:
    assert story.run.id == story.failed.id
    assert story.run.state == "success"
    assert story.run.tries == {
        "load": 1,
        "base": 1,
        "orders": 2,  # calls a macro that changed
        "report": 2,  # reads it
        "not_null_orders_id": 2,
        "bystander": 1,
        "dropped": 2,
        "broken": 3,
        "doomed": 0,
        "fresh": 1,
    }
    assert story.workspace.lines("load.txt") == ["loaded"]
    assert ledger_problems_but_reruns(story.record) == []


def ledger_problems_but_reruns(record: RunRecord) -> list[str]:
    """What is wrong besides a second success, which was asked for."""
    again = ("again after its success", "succeeded in attempts", "did not build")
    return [text for text in ledger_problems(record) if not any(word in text for word in again)]


@over(SESSION_1_11, PROCESS_2)
@shows(Can.OTHER_CODE)
def test_why_it_runs_again_is_said_and_kept(story: Story) -> None:
    assert "changed since it succeeded: models/orders.sql; runs again, and 2 after it" in (
        story.mended.out
    )
    reasons = {
        move.node_id: str(move.reason)
        for move in story.record.transitions
        if move.state is State.PENDING
    }
    assert reasons["model.shop.orders"] == "changed since it succeeded: models/orders.sql"
    assert reasons["model.shop.report"] == "model.shop.orders runs again"
    said = story.run.said["actions"]
    assert [action["action"] for action in said] == ["retry", "retry"]
    assert said[1]["reason"] == ("fixed the column; changed since it succeeded: models/orders.sql")
    assert said[1]["actor"] in story.workspace.dbtorch("show").out


@over(SESSION_1_11, PROCESS_2)
@shows(Can.OTHER_CODE)
def test_what_was_dropped_since_is_built_again_and_said(story: Story) -> None:
    assert "no relation is there any more of model.shop.dropped; runs again" in story.mended.out
    assert story.workspace.query("select * from dropped") == [(1,)]


@over(SESSION_1_11, PROCESS_2)
@shows(Can.OTHER_CODE)
def test_what_has_gone_is_said_once_and_is_no_failure(story: Story) -> None:
    assert "no longer part of the run: model.shop.doomed" in story.mended.out
    assert story.mended.out.count("doomed") == 1
    assert story.run.states["doomed"] == "removed"


@over(SESSION_1_11, PROCESS_2)
@shows(Can.OTHER_CODE)
def test_the_same_code_is_insisted_on(story: Story) -> None:
    assert "1 failed" in story.same_code.out  # the code was the same, so it went on
    assert story.refused == (
        f"the code is not what run {story.failed.id} used: models/broken.sql, models/orders.sql,"
        " models/fresh.sql (new), models/doomed.sql (gone); without --same-code the retry goes on"
        " with it as it is now"
    )


@over(SESSION_1_11, PROCESS_2)
@shows(Can.OTHER_CODE)
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--target", "prod", "--target was dev: start another run with `dbtorch run --target …`"),
        ("--vars", "{most: 2}", "--vars was {most: 1}"),
        ("--vars", "{}", "--vars was {most: 1}"),
        ("--select", "orders", "--select was not given: `dbtorch rerun "),
        ("--full-refresh", "", "--full-refresh was not given"),
    ],
)
def test_another_run_is_refused(story: Story, option: str, value: str, said: str) -> None:
    text = story.workspace.refused("retry", "--from", "base", option, *filter(None, [value]))
    assert text.startswith(f"run {story.run.id} goes on as it was started, and ")
    assert said in text


@over(SESSION_1_11, PROCESS_2)
@shows(Can.OTHER_CODE)
def test_a_run_goes_on_from_a_node_with_what_it_was_started_with(story: Story) -> None:
    workspace = story.workspace
    tries = workspace.show().tries
    assert "did you mean orders?" in workspace.refused("retry", "--from", "ordres")
    assert "there is nothing to retry (`dbtorch rerun " in workspace.dbtorch("retry").all
    same = ("--target", "dev", "--vars", "most: 1", "--threads", "1")
    workspace.dbtorch("retry", "--from", "orders", *same)
    shown = workspace.show()
    more = {"orders", "report", "not_null_orders_id"}
    assert shown.tries == {name: count + (name in more) for name, count in tries.items()}
    assert shown.said["actions"][-1]["reason"] == "--from orders"


# ---------------------------------------------------------------- two supervisors

STEPS = {
    "dbtorch.yml": """
        steps:
          crawl: {command: "echo crawled >> crawl.txt; test -f go || sleep 600", opens_database: false}
          publish: {command: "echo published >> publish.txt", after: [step:crawl]}
    """,
    "models/.gitkeep": "",
}


def test_who_stood_still_writes_nothing_over_the_one_that_took_over(
    workspace: Workspace, history: tuple[str, ...]
) -> None:
    workspace.write(STEPS)
    short = {"DBTORCH_LEASE_LIFETIME": "6"}
    with workspace.started(*RUN, *history, env=short) as first:
        first.wait_for_node("step.crawl")
        first.signal(signal.SIGSTOP)
        # until its lease has expired
        assert eventually(lambda: workspace.show(env=_named(history)).state == "interrupted")
        workspace.write({"go": ""})
        workspace.dbtorch("retry", *history, env=short)
        before = record_of(workspace, history[-1] if history else None)
        assert before.state == "success"

        first.signal(signal.SIGCONT)
        done = first.ended()
    assert done.code == 2
    assert f"run {before.run_id} was taken over by another process while this process" in done.out
    after = record_of(workspace, history[-1] if history else None)
    assert after == before
    assert ledger_problems(after) == []
    assert workspace.lines("publish.txt") == ["published"]
    workspace.dbtorch("run", *history)  # and the pipeline is free


def _named(history: tuple[str, ...]) -> dict[str, str]:
    """The same as a variable."""
    return {"DBTORCH_DATABASE_URL": history[-1]} if history else {}


@pytest.mark.parametrize("rounds", [2])
def test_of_two_supervisors_that_start_at_once_one_runs(
    workspace: Workspace, rounds: int, history: tuple[str, ...]
) -> None:
    workspace.write(
        {
            "dbtorch.yml": "steps: {one: {command: 'echo one >> one.txt; until [ -e go ]; do sleep 0.1; done'}}",
            "models/x": "",
        }
    )
    workspace.dbtorch("run", "--select", "nothing", *history)  # so that a history is there
    for number in range(1, rounds + 1):
        with workspace.started("run", *history) as a, workspace.started("run", *history) as b:
            wait_for(lambda: any(one.process.poll() is not None for one in (a, b)))
            (workspace.dir / "go").touch()
            ended = [a.ended(), b.ended()]
        assert sorted(one.code for one in ended) == [0, 2], [one.all for one in ended]
        (refused,) = [one for one in ended if one.code == 2]
        assert "shop/default is already being run by" in refused.all
        assert workspace.lines("one.txt") == ["one"] * number
        (workspace.dir / "go").unlink()
