"""What every implementation of `Engine` does, wherever its nodes run."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest

from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.engine import ProcessEngine, ProcessRequest
from dbtorch.adapters.dbt.session.engine import SessionEngine
from dbtorch.adapters.dbt.session.open_request import SessionRequest
from dbtorch.core.checks.idempotency import Content
from dbtorch.core.errors import EngineError
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Changed,
    Ended,
    Event,
    Finished,
    Outcome,
    Started,
)
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.ports.engine import Engine, Selected
from dbtorch.ports.loop import Emit
from dbtorch.testing import SUCCEEDS, FixedClock, MemoryEngine, fails
from tests.engines import ENGINES, Can, Driven, over, own, shows
from tests.sessions import Shop
from tests.sqlite_engine import SqliteEngine
from tests.waiting import PATIENCE

#: No dbt at all.
MEMORY = Driven(engine="memory", version="", make=own)

#: An engine that knows nothing of dbt, as somebody else would write one.
SQLITE = Driven(engine="sqlite", version="", make=own)

pytestmark = [over(*ENGINES, MEMORY, SQLITE), shows(Can.CONTRACT)]

FINE, BAD, AFTER_BAD = (f"model.shop.{name}" for name in ("fine", "bad", "after_bad"))

#: Sources with a limit for their age: one is an hour old, one is not there.
ORDERS, NOWHERE = "source.shop.raw.orders", "source.shop.raw.nowhere"

#: The relation of the one, as every SQL names it, and an hour ago.
RELATION, LOADED_AT = '"orders"', datetime.now(UTC) - timedelta(hours=1)

FILES = {
    "models/raw.yml": """
        sources:
          - name: raw
            schema: main
            config:
              freshness: {error_after: {count: 1, period: day}}
              loaded_at_field: loaded_at
            tables: [{name: orders}, {name: nowhere}]
    """,
    "models/fine.sql": "select 1 as id",
    "models/bad.sql": "select * from nowhere",
    "models/after_bad.sql": "select * from {{ ref('bad') }}",
}

#: What every dbt says of a template that breaks off.
BROKEN = "(?s)Compilation Error in model bad|models/bad.sql"

#: Seconds in which nothing happens, where nothing may.
QUIET = 0.3


class Heard:
    """Events, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = threading.Condition()

    def take(self, event: Event) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def of(self, attempt: Attempt) -> list[Event]:
        return [event for event in self.events if getattr(event, "attempt", None) == attempt]

    def outcome(self, attempt: Attempt) -> Outcome:
        """Wait until an attempt has ended."""
        with self._news:
            assert self._news.wait_for(lambda: self._ended(attempt), PATIENCE), self.events
        (outcome,) = self._ended(attempt)
        return outcome

    def over(self, count: int) -> None:
        """Wait until so many batches of nodes are over."""
        with self._news:
            assert self._news.wait_for(lambda: self._over() >= count, PATIENCE), self.events

    def _over(self) -> int:
        ended = (event for event in self.events if isinstance(event, Ended))
        return sum(event.batch.attempts[0].node_id.startswith("model.") for event in ended)

    def _ended(self, attempt: Attempt) -> list[Outcome]:
        return [event.outcome for event in self.of(attempt) if isinstance(event, Finished)]


def with_orders(shop: Shop) -> Shop:
    """Put the source into the warehouse."""
    config = {"storage_compatibility_version": "v1.0.0"}  # dbt 2 has a DuckDB of its own
    with duckdb.connect(str(shop.database), config=config) as file:
        file.execute("create table orders (id integer, loaded_at timestamp)")
        file.execute("insert into orders values (1, ?)", [LOADED_AT.replace(tzinfo=None)])
    return shop


def session(emit: Emit, folder: Path, files: dict[str, str], driven: Driven) -> Engine:
    shop = with_orders(Shop(folder / "shop", files, project="on-run-end: select 1"))
    quiet = ("--log-level", "none", "--log-level-file", "none")
    where = ("--project-dir", str(shop.dir), "--profiles-dir", str(shop.dir))
    request = SessionRequest(
        python=str(driven.make().python),
        args=(*where, *quiet),
        cwd=shop.dir,
        environ=os.environ,
        log_path=lambda attempt: folder / f"{attempt.node_id}.{attempt.number}.log",
        console=folder / "dbt.log",
        scratch=folder,
    )
    return SessionEngine(request, emit)


def process(emit: Emit, folder: Path, files: dict[str, str], driven: Driven) -> Engine:
    shop = with_orders(Shop(folder / "shop", files))
    dbt = driven.make()
    request = ProcessRequest(
        entry=Launcher.of(str(dbt.executable)),
        args=("--project-dir", str(shop.dir), "--profiles-dir", str(shop.dir)),
        project_dir=shop.dir,
        cwd=shop.dir,
        environ={**os.environ, **dbt.env},
        log_path=lambda attempt: folder / f"{attempt.node_id}.{attempt.number}.log",
        console=folder / "dbt.log",
        scratch=folder,
    )
    return ProcessEngine(request, emit)


def in_memory(emit: Emit, folder: Path, files: dict[str, str], driven: Driven) -> Engine:
    if files != FILES:
        return MemoryEngine(emit, EngineError("Compilation Error in model bad: no such thing"))
    nodes = tuple(Node(id=id, kind=Kind.MODEL, name=id) for id in (FINE, BAD, AFTER_BAD))
    selected = Selected(
        nodes=nodes,
        edges=((BAD, AFTER_BAD),),
        selected=frozenset(node.id for node in nodes),
        selected_edges=((BAD, AFTER_BAD),),
        selected_sources=frozenset(),
        resolved={"fine+": frozenset({FINE})},
        hooks=(),
        threads=2,
        fail_fast=False,
        target={"name": "dev", "type": "memory"},
        exclusive_file=None,
        vars={},
        dbt_version="1.11.0",
        adapter="memory 1",
        project="shop",
        project_dir=folder,
        target_path=folder,
        manifest_hash="",
    )
    wrong = fails("nowhere is no table", FailureClass.CODE)
    entries = {ORDERS: {"status": "pass"}, NOWHERE: {"status": "runtime error"}}

    def script(attempt: Attempt) -> Outcome:
        outcome = wrong if attempt.node_id in (BAD, NOWHERE) else SUCCEEDS
        return replace(outcome, details={"source": entries.get(attempt.node_id)})

    return MemoryEngine(emit, selected, script, {RELATION: Content(rows=1, columns={})})


def in_sqlite(emit: Emit, folder: Path, files: dict[str, str], driven: Driven) -> Engine:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with closing(sqlite3.connect(folder / "shop.sqlite")) as file, file:
        file.execute("create table orders (id, loaded_at)")
        file.execute("insert into orders values (1, ?)", [LOADED_AT.isoformat()])
    day = {"error_after": 86_400}
    sources = {ORDERS: {"table": "orders", **day}, NOWHERE: {"table": "nowhere", **day}}
    (folder / "sources.json").write_text(json.dumps(sources))
    return SqliteEngine(folder, emit)


Make = Callable[..., Engine]


@pytest.fixture
def heard() -> Heard:
    return Heard()


MAKERS = {"session": session, "process": process, "memory": in_memory, "sqlite": in_sqlite}


@pytest.fixture
def make(driven: Driven, heard: Heard, tmp_path: Path) -> Iterator[Make]:
    """Make the engine of a project; it is closed afterwards, and may have been before."""
    made: list[Engine] = []

    def make(files: dict[str, str] = FILES) -> Engine:
        made.append(MAKERS[driven.engine](heard.take, tmp_path, files, driven))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def start(engine: Engine, id: str, number: int = 1) -> Attempt:
    attempt = Attempt(id, number)
    engine.start(Batch(number, (attempt,)))
    return attempt


def quiet() -> None:
    threading.Event().wait(QUIET)


def test_from_opening_to_closing(make: Make, heard: Heard, driven: Driven) -> None:
    engine = make()
    engine.launch()
    assert not engine.start_speculatively(None)  # with no answer of before there is no plan yet
    assert isinstance(engine.plans_from_cache, bool)
    engine.adopt({}, {})
    engine.watch({})
    selected = engine.open(("fine+",))
    assert selected.selected == {FINE, BAD, AFTER_BAD}
    assert selected.selected_edges == ((BAD, AFTER_BAD),)
    assert selected.resolved == {"fine+": {FINE}}

    engine.dbt_warnings.listen(lambda warning: None)
    assert engine.dbt_warnings.all() == tuple(engine.dbt_warnings.all())
    assert list(engine.warnings) == []

    fresh, gone = engine.check_sources([ORDERS, NOWHERE])
    assert (fresh.state, fresh.details["source"]["status"]) == (State.SUCCESS, "pass")
    assert gone.state is State.FAILED  # what cannot be checked is not fresh
    assert engine.gone([FINE]) <= {FINE}
    assert engine.gone([]) == frozenset()

    opening = start(engine, SESSION_OPEN)
    quiet()
    assert heard.events == []  # it has not been told to go on
    engine.accept()
    assert heard.outcome(opening).state is State.SUCCESS

    good = start(engine, FINE)
    if selected.batches is not None:  # that many at a time
        heard.over(1)
    bad = start(engine, BAD)
    assert heard.outcome(good).state is State.SUCCESS
    assert heard.outcome(bad).state is State.FAILED
    assert heard.outcome(bad).failure_class is FailureClass.CODE
    assert "nowhere" in heard.outcome(bad).message
    if selected.batches is not None:
        heard.over(2)
    again = start(engine, FINE, 2)
    assert heard.outcome(again).state is State.SUCCESS

    if selected.batches is not None:
        heard.over(3)

    answers_of_the_warehouse(engine, driven)
    engine.prewarm()
    engine.skip([_blocked(AFTER_BAD, by=BAD)])
    engine.cancel(good)  # it is over
    engine.cancel(Attempt(AFTER_BAD, 1))  # it never began
    engine.release()

    closing = start(engine, SESSION_CLOSE)
    assert heard.outcome(closing).state is State.SUCCESS
    engine.close()
    engine.close()
    late = start(engine, FINE, 3)
    assert heard.outcome(late).state is State.FAILED
    assert [type(event) for event in heard.of(late)] == [Finished]  # nothing starts after the end
    for attempt in (opening, good, bad, again, closing):
        assert [type(event) for event in heard.of(attempt)] == [Started, Finished]
    assert heard.of(Attempt(AFTER_BAD, 1)) == []


def answers_of_the_warehouse(engine: Engine, driven: Driven) -> None:
    """It says what there is, or in one sentence which engine does."""
    if driven.is_process:
        for ask in (
            engine.tables,
            partial(engine.content, RELATION),
            partial(engine.drop_schemas, "", []),
        ):
            with pytest.raises(EngineError, match=r"engine\.type: session"):
                ask()
        return
    assert RELATION in {table.rpartition(".")[2] for table in engine.tables()}
    assert engine.content(RELATION).rows == 1
    with pytest.raises(EngineError):
        engine.content('"no_such_table"')
    engine.drop_schemas("no_such_schema", [])


def _blocked(id: str, *, by: str) -> Changed:
    return Changed(
        node_id=id,
        attempt=0,
        before=State.PENDING,
        state=State.UPSTREAM_FAILED,
        at=FixedClock().now(),
        reason=Reason(ReasonKind.UPSTREAM_FAILED, (by,)),
    )


def test_what_waits_can_be_cancelled_handed_back_and_started_again(
    make: Make, heard: Heard
) -> None:
    engine = make()
    engine.open()
    cancelled = start(engine, BAD)
    engine.cancel(cancelled)
    assert not heard.outcome(cancelled).state.ok

    opening = start(engine, SESSION_OPEN)
    engine.invalidate()
    assert heard.outcome(opening).failure_class is FailureClass.TRANSIENT
    assert not [event for event in heard.events if isinstance(event, Started)]

    engine.accept()
    assert heard.outcome(start(engine, SESSION_OPEN, 2)).state is State.SUCCESS
    engine.leave_out_end_hooks()
    assert heard.outcome(start(engine, SESSION_CLOSE)).state is State.SUCCESS
    assert not [event for event in heard.events if "on-run-end" in str(event)]
    engine.kill()
    told = len(heard.events)
    engine.close()
    assert heard.events[told:] == []  # nothing was under way


def test_what_is_refused_fails_for_the_reason_given(make: Make, heard: Heard) -> None:
    engine = make()
    engine.open()
    waiting = start(engine, SESSION_OPEN)

    engine.refuse("dbt answered something else")

    for attempt in (waiting, start(engine, SESSION_CLOSE)):
        outcome = heard.outcome(attempt)
        assert (outcome.state, outcome.message) == (State.FAILED, "dbt answered something else")
        assert outcome.failure_class is FailureClass.CODE  # a second try would not help


def test_an_abandoned_engine_lets_go_of_everything(make: Make, heard: Heard) -> None:
    engine = make()
    engine.open()
    engine.accept()
    assert heard.outcome(start(engine, SESSION_OPEN)).state is State.SUCCESS

    engine.abandon("it took too long")

    for attempt in (start(engine, FINE), start(engine, SESSION_CLOSE)):
        outcome = heard.outcome(attempt)
        assert (outcome.state, outcome.message) == (State.FAILED, "it took too long")
    engine.close()


def test_a_project_that_cannot_be_read_is_an_engine_error(make: Make, heard: Heard) -> None:
    engine = make({"models/bad.sql": "{% if %}"})

    with pytest.raises(EngineError, match=BROKEN):
        engine.open()

    engine.close()
    assert heard.events == []


def test_an_engine_that_was_never_opened_can_be_closed(make: Make, heard: Heard) -> None:
    engine = make()
    engine.close()
    engine.release()
    engine.close()
    assert heard.events == []
