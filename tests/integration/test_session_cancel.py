"""Cancelling ends queries in the warehouse, not only our waiting for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.session.commands import Command
from dbtorch.app.inbox import Requested
from dbtorch.core.config import StepSpec
from dbtorch.core.history.records import Action, Verb
from dbtorch.core.model.events import Attempt, Batch, Finished, Outcome, Started
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.core.settings import Settings
from tests.parity.artifacts import invalid
from tests.sessions import Session, Shop, on_postgres, session

#: Keeps dbt busy before it has anything to send to the warehouse.
SLOW_TO_COMPILE = """
    {% if execute %}{% for i in range(300) %}{% for j in range(99999) %}{% endfor %}{% endfor %}
    {% endif %}
"""

#: Seconds after which nobody would call it a cancellation. The queries would take hours.
AT_ONCE = 60


#: A statement before a query, by which DuckDB says from outside that it has come so far.
SAYS = "copy (select 1 as id) to 'begun.csv'"


def has_said(shop: Shop) -> bool:
    """Whether `SAYS` has run."""
    return (shop.dir / "begun.csv").exists()


def interrupted(tmp_path: Path, endless: str, **more: Any) -> tuple[Session, float]:
    """Interrupt a run while three queries are under way; answers how long it took to end."""
    models = {
        # its time is over soon, and its thread somebody else's
        "overdue": endless,
        "fine": "select 1 as id",
        "cancelled": endless,
        "after": "select * from {{ ref('cancelled') }}",
        # starts last, and is cancelled before its query
        "compiling": SLOW_TO_COMPILE + endless,
    }
    shop = Shop(
        tmp_path / "shop",
        {f"models/{name}.sql": sql for name, sql in models.items()},
        project="models: {shop: {+materialized: table}}",
        threads=3,
        **more,
    )
    step = StepSpec(
        name="in_sql",
        type="sql",
        action=endless,
        after=("fine",),
        settings=Settings(priority=1),
    )
    settings = {
        "overdue": Settings(timeout=1, retries=0, priority=2),
        "cancelled": Settings(priority=2),
        "fine": Settings(priority=2),
    }
    asked: list[float] = []

    def interrupt() -> None:
        asked.append(time.monotonic())
        found.interrupt()

    with session(shop, specs=[step], sql={step.id: endless}, settings=settings) as found:
        found.when("compiling", State.RUNNING, interrupt)
        found.drive()
    return found, time.monotonic() - asked[0]


def assert_cancelled(found: Session) -> None:
    assert found.run.state is RunState.CANCELLED
    assert found.states == {
        "overdue": "failed",
        "fine": "success",
        "cancelled": "cancelled",
        "after": "cancelled",
        "compiling": "cancelled",
        "step.in_sql": "cancelled",
        "session.open": "success",
        "session.close": "success",
    }
    overdue = found.outcome("overdue")
    assert overdue.failure_class is FailureClass.TIMEOUT
    assert overdue.message == "timed out after 1 s"
    assert found.outcome("cancelled").message == "the run got SIGINT"
    # what dbt knows of it: these did not end well, and that one never began
    results = found.shop.results()
    assert {id.removeprefix("model.shop."): status for id, (status, _) in results.items()} == {
        "overdue": "error",
        "fine": "success",
        "cancelled": "error",
        "after": "skipped",
        "compiling": "error",
    }
    assert invalid(found.shop.dir / "target") == []


def test_queries_on_postgres_are_cancelled(tmp_path: Path, postgres_database: str) -> None:
    target = on_postgres(postgres_database)

    found, seconds = interrupted(tmp_path, "select 1 as id from pg_sleep(7200)", target=target)

    assert_cancelled(found)
    assert seconds < AT_ONCE
    left = "query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()"
    assert found.shop.query(f"select query from pg_stat_activity where {left}") == []
    assert "Database Error in model overdue" in found.log("overdue")  # dbt's view of it


def test_queries_on_duckdb_are_cancelled(tmp_path: Path) -> None:
    endless = "select sum(hash(a.n + b.n)) as id from range(9999999) a(n), range(9999999) b(n)"

    found, seconds = interrupted(tmp_path, endless)

    assert_cancelled(found)
    assert seconds < AT_ONCE
    assert found.shop.query("select id from fine") == [(1,)]  # the file is nobody's any more
    assert "Interrupted" in found.log("overdue")


def one_cancelled(
    tmp_path: Path, endless: str, begun: Callable[[Shop], bool], **more: Any
) -> Session:
    """Cancel one of two queries once it has begun; the other one ends when that is over."""
    shop = Shop(
        tmp_path / "shop",
        {
            "models/cancelled.sql": endless,
            "models/after.sql": "select * from {{ ref('cancelled') }}",
            "models/first.sql": SLOW_TO_COMPILE + "select 1 as id",
            "models/second.sql": "select * from {{ ref('first') }}",
        },
        project="models: {shop: {+materialized: table}}",
        threads=2,
        **more,
    )
    action = Action(
        action=Verb.CANCEL,
        at=datetime.now(UTC),
        actor="ana@desk",
        node_id="model.shop.cancelled",
        reason="too slow",
    )

    def request() -> None:
        found.until(lambda: begun(shop))
        found.inbox.put(Requested(action))

    with session(shop, settings={"cancelled": Settings(retries=3)}) as found:
        found.when("cancelled", State.RUNNING, request)
        found.drive()
    return found


def assert_one_cancelled(found: Session) -> None:
    assert found.states == {
        "cancelled": "cancelled",
        "after": "cancelled",
        "first": "success",
        "second": "success",
        "session.open": "success",
        "session.close": "success",
    }
    assert found.run.state is RunState.CANCELLED  # by hand, and nothing else went wrong
    assert found.outcome("cancelled").message == "cancelled by ana@desk: too slow"
    assert found.history("cancelled") == ["queued", "running", "cancelled"]
    results = {id: status for id, (status, _) in found.shop.results().items()}
    assert results["model.shop.cancelled"] == "error"
    assert results["model.shop.after"] == "skipped"
    assert invalid(found.shop.dir / "target") == []


def test_one_query_on_postgres_is_cancelled(tmp_path: Path, postgres_database: str) -> None:
    target = on_postgres(postgres_database)
    runs = "query like '%pg_sleep(7100)%' and state = 'active' and pid <> pg_backend_pid()"

    def begun(shop: Shop) -> bool:
        return bool(shop.query(f"select query from pg_stat_activity where {runs}"))

    found = one_cancelled(tmp_path, "select 1 as id from pg_sleep(7100)", begun, target=target)
    assert_one_cancelled(found)
    assert not begun(found.shop)


def test_one_query_on_duckdb_is_cancelled(tmp_path: Path) -> None:
    hook = f"{{{{ config(pre_hook=[{SAYS!r}]) }}}} "
    endless = "select sum(hash(a.n + b.n)) as id from range(9999999) a(n), range(9999999) b(n)"
    found = one_cancelled(tmp_path, hook + endless, has_said)
    assert_one_cancelled(found)
    assert found.shop.query("select id from second") == [(1,)]


def test_hooks_are_cancelled_too(tmp_path: Path) -> None:
    endless = "select sum(hash(a.n + b.n)) from range(9999999) a(n), range(9999999) b(n)"
    shop = Shop(
        tmp_path / "shop",
        {"models/orders.sql": "select 1 as id"},
        project=f"on-run-start: [{SAYS!r}, '{endless}', 'select 1']",
    )
    asked: list[float] = []

    def interrupt() -> None:
        found.until(lambda: has_said(shop))
        asked.append(time.monotonic())
        found.interrupt()

    with session(shop) as found:
        found.when("session.open", State.RUNNING, interrupt)
        found.drive()

    assert time.monotonic() - asked[0] < AT_ONCE
    assert found.run.state is RunState.CANCELLED
    assert found.states["orders"] == "cancelled"
    assert found.states["session.close"] == "success"
    assert found.states["shop-on-run-start-0"] == "success"
    assert found.states["shop-on-run-start-1"] == "failed"
    results = {id: status for id, (status, _) in found.shop.results().items()}
    assert results["operation.shop.shop-on-run-start-1"] == "error"
    assert results["model.shop.orders"] == "skipped"
    assert invalid(found.shop.dir / "target") == []


def test_a_model_without_a_query_costs_the_worker_and_nobody_else(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path / "shop",
        {
            "models/stubborn.py": """
                import time

                def model(dbt, session):
                    time.sleep(7200)
                    return session.sql("select 1 as id")
            """,
            # is under way when the worker is killed, and runs again although it has no retries
            "models/innocent.py": """
                import pathlib, time

                def model(dbt, session):
                    while not pathlib.Path("go").exists():
                        time.sleep(0.05)
                    return session.sql("select 1 as id")
            """,
        },
        threads=2,
    )
    settings = {
        "stubborn": Settings(timeout=0.1, retries=0),
        "innocent": Settings(retries=0, priority=1),
    }

    with session(shop, settings=settings, grace=2) as found:
        found.when("stubborn", State.FAILED, (shop.dir / "go").touch)
        found.drive()

    assert found.states["stubborn"] == "failed"
    assert found.outcome("stubborn").failure_class is FailureClass.TIMEOUT
    assert found.states["innocent"] == "success"
    assert found.history("innocent").count("up_for_retry") == 1
    assert found.states["session.close"] == "success"
    results = {id: status for id, (status, _) in found.shop.results().items()}
    assert results == {"model.shop.stubborn": "error", "model.shop.innocent": "success"}


def test_at_the_end_of_a_run_such_a_model_is_left_to_itself(tmp_path: Path) -> None:
    """Nobody waits for it, and no second dbt has to be started for the artifacts."""
    shop = Shop(
        tmp_path / "shop",
        {
            "models/stubborn.py": """
                import time

                def model(dbt, session):
                    time.sleep(7200)
                    return session.sql("select 1 as id")
            """,
            "models/after.sql": "select * from {{ ref('stubborn') }}",
        },
    )
    workers: list[int] = []

    def interrupt() -> None:
        workers.append(found.worker)
        found.interrupt()

    with session(shop, grace=0.5) as found:
        found.when("stubborn", State.RUNNING, interrupt)
        found.when("session.close", State.SUCCESS, lambda: workers.append(found.worker))
        found.drive()

    assert found.run.state is RunState.CANCELLED
    assert found.outcome("stubborn").message == "the run got SIGINT"
    assert found.states["session.close"] == "success"
    assert workers == [workers[0]] * 2
    results = {id: status for id, (status, _) in found.shop.results().items()}
    assert results == {"model.shop.stubborn": "error", "model.shop.after": "skipped"}
    assert invalid(found.shop.dir / "target") == []
    assert not Path(f"/proc/{workers[0]}").exists()


def test_a_model_that_ends_after_it_was_left_to_itself_is_not_heard(tmp_path: Path) -> None:
    files = {
        "models/late.py": """
            import pathlib, time

            def model(dbt, session):
                pathlib.Path("begun").touch()
                while not pathlib.Path("go").exists():
                    time.sleep(0.05)
                return session.sql("select 1 as id")
        """
    }
    shop = Shop(tmp_path / "shop", files)
    opening, late, closing = (
        Attempt(id, 1) for id in (SESSION_OPEN, "model.shop.late", SESSION_CLOSE)
    )
    with session(shop, grace=0.1) as found:
        found.open()
        found.engine.accept()
        for number, attempt in enumerate((opening, late), 1):
            found.engine.start(Batch(number, (attempt,)))
            found.until(lambda attempt=attempt: Started(attempt) in found.heard)
        # before that there is a query that can be cancelled
        found.until((shop.dir / "begun").exists)
        worker = found.worker
        said = spied_on(found)
        found.engine.leave_out_end_hooks()
        found.engine.cancel(late)
        found.until(lambda: ended(found, late))
        (shop.dir / "go").touch()
        found.until(said.is_set)
        found.engine.start(Batch(3, (closing,)))
        found.until(lambda: ended(found, closing))
        (outcome,) = ended(found, late)
        assert outcome.message == "did not end when it was cancelled"
        assert ended(found, closing)[0].state is State.SUCCESS
        assert found.worker == worker
    assert [status for status, _ in found.shop.results().values()] == ["error"]


def spied_on(found: Session) -> threading.Event:
    """Set once the worker has said that a node has finished, and nobody needs to know."""
    said, hear = threading.Event(), found.engine._protocol.heard

    def spy(message: dict[str, Any]) -> list[Command]:
        commands = hear(message)
        if message["type"] == "finished":
            said.set()
        return commands

    found.engine._protocol.heard = spy  # type: ignore[method-assign]
    return said


def ended(found: Session, attempt: Attempt) -> list[Outcome]:
    heard = [event for event in found.heard if isinstance(event, Finished)]
    return [event.outcome for event in heard if event.attempt == attempt]
