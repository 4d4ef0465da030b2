"""What every implementation of `Engine` does, wherever its nodes run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.process.engine import ProcessEngine, ProcessRequest
from dbtorch.adapters.dbt.process.entry import Entry
from dbtorch.adapters.dbt.request import SessionRequest
from dbtorch.adapters.dbt.session import SessionEngine
from dbtorch.core.events import Attempt, Batch, Changed, Ended, Event, Finished, Outcome, Started
from dbtorch.core.graph import Kind, Node
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.core.state import FailureClass, State
from dbtorch.ports import Emit, Engine, EngineError, Selected
from dbtorch.testing import SUCCEEDS, FixedClock, MemoryEngine, fails
from tests.engines import ENGINES, Can, Driven, over, own, shows
from tests.gates import PATIENCE
from tests.sessions import Shop

#: No dbt at all.
MEMORY = Driven(engine="memory", version="", make=own)

pytestmark = [pytest.mark.timeout(300), over(*ENGINES, MEMORY), shows(Can.CONTRACT)]

FINE, BAD, AFTER_BAD = (f"model.shop.{name}" for name in ("fine", "bad", "after_bad"))

FILES = {
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


def session(emit: Emit, folder: Path, files: dict[str, str], driven: Driven) -> Engine:
    shop = Shop(folder / "shop", files, project="on-run-end: select 1")
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
    shop = Shop(folder / "shop", files)
    dbt = driven.make()
    request = ProcessRequest(
        entry=Entry.of(str(dbt.executable)),
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
    return MemoryEngine(emit, selected, lambda a: wrong if a.node_id == BAD else SUCCEEDS)


Make = Callable[..., Engine]


@pytest.fixture
def heard() -> Heard:
    return Heard()


MAKERS = {"session": session, "process": process, "memory": in_memory}


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


def test_from_opening_to_closing(make: Make, heard: Heard) -> None:
    engine = make()
    selected = engine.open(("fine+",))
    assert selected.selected == {FINE, BAD, AFTER_BAD}
    assert selected.selected_edges == ((BAD, AFTER_BAD),)
    assert selected.resolved == {"fine+": {FINE}}

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

    engine.skip([_blocked(AFTER_BAD, by=BAD)])
    engine.cancel(good)  # it is over
    engine.cancel(Attempt(AFTER_BAD, 1))  # it never began
    engine.release()

    closing = start(engine, SESSION_CLOSE)
    assert heard.outcome(closing).state is State.SUCCESS
    engine.close()
    engine.close()
    for attempt in (opening, good, bad, again, closing):
        assert [type(event) for event in heard.of(attempt)] == [Started, Finished]
    assert heard.of(Attempt(AFTER_BAD, 1)) == []


def _blocked(id: str, *, by: str) -> Changed:
    return Changed(
        node_id=id,
        attempt=0,
        before=State.PENDING,
        state=State.UPSTREAM_FAILED,
        at=FixedClock().now(),
        reason=f"{by} failed",
        cause=by,
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
    engine.forget()
    assert heard.outcome(opening).failure_class is FailureClass.TRANSIENT
    assert not [event for event in heard.events if isinstance(event, Started)]

    engine.accept()
    assert heard.outcome(start(engine, SESSION_OPEN, 2)).state is State.SUCCESS
    engine.leave_out_end_hooks()
    assert heard.outcome(start(engine, SESSION_CLOSE)).state is State.SUCCESS
    assert not [event for event in heard.events if "on-run-end" in str(event)]


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
