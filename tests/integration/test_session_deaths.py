"""A dbt worker that dies is replaced: nothing hangs, nothing runs twice, artifacts are complete."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from dbtorch.adapters.dbt.session.phases import Phase
from dbtorch.adapters.dbt.session.protocol import MAX_DEATHS
from dbtorch.core.config import StepSpec
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.settings import Settings
from tests.gates import Gate, in_another_process
from tests.parity.artifacts import invalid
from tests.sessions import Session, Shop, session
from tests.waiting import PATIENCE

DIED = "the dbt worker died (killed by SIGKILL)"

#: Hooks that write down what they are.
AUDIT = """
on-run-start:
  - create table if not exists audit (what text)
  - insert into audit values ('start')
on-run-end:
  - insert into audit select 'end of ' || {{ results | length }}
"""

#: Ends its worker; what it has forked lives on, and holds all that it had open.
KILLS = """
    import os, signal, time

    def model(dbt, session):
        if not os.path.exists("{mark}"):
            {once}
            if os.fork() == 0:
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGKILL)
        return session.sql("select 1 as id")
"""


def audited(shop: Shop) -> list[str]:
    return [what for (what,) in shop.query("select what from audit")]


def test_a_model_that_kills_every_worker_fails_alone(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path / "shop",
        {
            "models/first.sql": "select 1 as id",
            "models/kills.py": KILLS.format(mark="nowhere", once="pass"),
            "models/after_kills.sql": "select * from {{ ref('kills') }}",
            "models/bad.sql": "{{ config(materialized='ephemeral') }} select {{ nothing.at.all }}",
            "models/after_bad.sql": "select * from {{ ref('bad') }}",
            "models/last.sql": "select * from {{ ref('first') }}",
            "models/models.yml": """
                models:
                  - name: first
                    columns: [{name: id, data_tests: [not_null]}]
            """,
        },
        project=AUDIT,
        threads=1,
    )
    order = {
        "first": Settings(priority=3),
        "bad": Settings(priority=2),
        "kills": Settings(priority=1),
    }
    with session(shop, settings=order) as found:
        found.drive()

    assert [(o.state, o.failure_class, o.message) for o in found.outcomes("kills")] == [
        (State.FAILED, FailureClass.TRANSIENT, DIED)
    ] * 3
    expected = {
        "first": "success",
        "kills": "failed",
        "after_kills": "upstream_failed",
        "bad": "failed",
        "after_bad": "upstream_failed",
        "last": "success",
        "shop-on-run-start-0": "success",
        "shop-on-run-start-1": "success",
        "shop-on-run-end-0": "success",
        "session.open": "success",
        "session.close": "success",
    }
    assert found.states == {
        **{id: "success" for id in found.states if "not_null" in id},
        **expected,
    }
    assert len(found.outcomes("session.open")) == 1

    # what ended before the last worker came is there too, in dbt's words
    results = shop.results()
    named = {id.partition(".shop.")[2].split(".")[0]: found for id, found in results.items()}
    ephemeral = "model.shop.bad"
    assert named == {
        "shop-on-run-start-0": ("success", "shop.on-run-start.0 passed"),
        "shop-on-run-start-1": ("success", "shop.on-run-start.1 passed"),
        "shop-on-run-end-0": ("success", "shop.on-run-end.0 passed"),
        "first": ("success", "OK"),
        "not_null_first_id": ("pass", None),
        "kills": ("error", DIED),
        "after_kills": ("skipped", None),
        "after_bad": (
            "skipped",
            "Compilation Error in model.shop.after_bad, caused by compilation error in referenced "
            f"ephemeral model {ephemeral}",
        ),
        "last": ("success", "OK"),
    }
    assert invalid(shop.dir / "target") == []
    assert audited(shop) == ["start", "end of 6"]


def test_a_worker_may_die_at_any_moment(tmp_path: Path) -> None:
    start, end = Gate(tmp_path / "start"), Gate(tmp_path / "end")
    shop = Shop(
        tmp_path / "shop",
        {
            "models/first.sql": "select 1 as id",
            "models/sources.yml": "sources: [{name: raw, schema: main, tables: [{name: landed}]}]",
            "models/second.sql": "select * from {{ source('raw', 'landed') }}",
        },
        project=f"""
            on-run-start:
              - create table audit (what text)
              - "insert into audit select 'start' from {start.sql}"
            on-run-end:
              - insert into audit values ('end')
              - "insert into audit select 'after the end' from {end.sql}"
        """,
    )

    def step() -> None:
        """It has the database file to itself, also when the worker dies just now."""
        found.kill_worker()
        found.until(lambda: found.engine.phase is Phase.READY)  # of another worker
        in_another_process(WRITES_LANDED, shop.database)

    landing = StepSpec(
        name="landing",
        type="python",
        action="m:f",
        after=("first",),
        produces=("source:raw.landed",),
    )
    with session(shop, specs=[landing], steps={"step.landing": step}) as found:
        found.open()
        first = found.worker
        found.kill_worker()
        found.until(lambda: found.worker != first)  # before it was given anything
        running = found.in_background()
        for gate in (start, end):
            gate.wait()
            found.kill_worker()
            gate.forget()
            gate.open()
        running.join(PATIENCE)

    assert found.run.finished
    assert set(found.states.values()) == {"success"}
    assert [len(found.outcomes(id)) for id in ("session.open", "first", "session.close")] == [
        2,
        1,
        2,
    ]
    assert audited(shop) == ["start", "end", "after the end"]
    assert {status for status, _ in shop.results().values()} == {"success"}
    assert len(shop.results()) == 6
    assert invalid(shop.dir / "target") == []


WRITES_LANDED = """
    import sys, duckdb
    with duckdb.connect(sys.argv[1]) as file:
        file.execute("create table landed as select 2 as id")
"""


def test_after_too_many_deaths_in_a_row_the_engine_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", {"models/first.sql": "select 1 as id"})
    with session(shop, each=Settings(retry_delay=30)) as found:
        found.open()
        for _ in range(MAX_DEATHS):
            before = found.worker
            found.kill_worker()
            found.until(lambda before=before: found.worker != before or over(found))
        found.drive()

    assert found.states == {
        "session.open": "failed",
        "first": "upstream_failed",
        "session.close": "failed",
    }
    (outcome,) = found.outcomes("session.open")  # trying again would not help
    assert outcome.message == "the dbt worker died 3 times in a row (killed by SIGKILL)"


def over(found: Session) -> bool:
    return found.engine.phase is Phase.ENDED


def test_a_project_that_was_broken_meanwhile_ends_the_run(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path / "shop",
        {
            "models/first.py": KILLS.format(mark="nowhere", once="pass"),
            "models/second.sql": "select * from {{ ref('first') }}",
        },
    )
    with session(shop) as found:
        found.when(
            "first", State.RUNNING, lambda: shop.write({"models/second.sql": "{% if %} select"})
        )
        found.drive()

    lost, failed = found.outcomes("first")
    assert (lost.message, lost.failure_class) == (DIED, FailureClass.TRANSIENT)
    assert "Compilation Error in model second" in failed.message
    assert failed.failure_class is not FailureClass.TRANSIENT
    assert found.states["second"] == "upstream_failed"
    assert found.states["session.close"] == "failed"


def test_a_replacement_that_cannot_connect_is_a_failure_like_any(tmp_path: Path) -> None:
    """It connects when there is something to do, and again for the next attempt."""
    end = Gate(tmp_path / "end")
    shop = Shop(
        tmp_path / "shop",
        {"models/first.py": KILLS.format(mark="been_here", once='open("been_here", "w").close()')},
        project=f'on-run-end: "select * from {end.sql}"',
    )
    held: list[duckdb.DuckDBPyConnection] = []

    def hold_or_let_go() -> None:
        if held:
            held.pop().close()
        else:
            held.append(duckdb.connect(str(shop.database)))

    with session(shop, each=Settings(retry_delay=0.5)) as found:
        found.when("first", State.UP_FOR_RETRY, hold_or_let_go)
        running = found.in_background()
        end.wait()
        found.kill_worker()
        end.forget()
        hold_or_let_go()
        running.join(PATIENCE)
        hold_or_let_go()

    lost, locked, success = found.outcomes("first")
    assert (lost.message, lost.failure_class) == (DIED, FailureClass.TRANSIENT)
    assert "Conflicting lock is held" in locked.message
    assert str(os.getpid()) in locked.message  # who holds it
    assert locked.failure_class is FailureClass.TRANSIENT
    assert success.state is State.SUCCESS

    # the second time it was too late for the hook, and not for artifacts
    died, failed = found.outcomes("session.close")
    assert (died.message, failed.state) == (DIED, State.FAILED)
    assert "Conflicting lock is held" in failed.message
    assert found.states["shop-on-run-end-0"] == "skipped"
    assert found.run.state is RunState.FAILED
    assert shop.results() == {"model.shop.first": ("success", "OK")}
    assert invalid(shop.dir / "target") == []
