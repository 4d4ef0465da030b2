"""The loop, over in-memory doubles."""

import threading

import pytest

from dbtorch.app.planning import Planned
from dbtorch.app.runner import Inbox, Interrupt, Runner
from dbtorch.core.events import Attempt, Started
from dbtorch.core.graph import Kind, Node
from dbtorch.core.plan import Plan, with_session
from dbtorch.core.policy import Policy, Retry
from dbtorch.core.run import Run
from dbtorch.core.state import RunState, State
from dbtorch.testing import FixedClock, MemoryEngine, MemorySteps, fails, scripted


class Stage:
    """A run over doubles: ingest -> stg -> mart -> export."""

    def __init__(self, script=None, *, steps=MemorySteps, listeners=()):
        on_engine = frozenset({"stg", "mart"})
        nodes = [
            Node(id=id, kind=Kind.MODEL if id in on_engine else Kind.STEP, name=id)
            for id in ("ingest", "stg", "mart", "export")
        ]
        edges = [("ingest", "stg"), ("stg", "mart"), ("mart", "export")]
        policies = {node.id: Policy(retry=Retry.times(1, delay=0)) for node in nodes}
        graph, policies = with_session(nodes, edges, on_engine, policies, retry=Retry.times(0))
        ends = {id for id, node in graph.nodes.items() if node.kind is Kind.SESSION}
        script = script or scripted({})
        self.written = []
        self.inbox = Inbox()
        self.run = Run(Plan(graph=graph, policies=policies), random=lambda: 0.5)
        self.engine = MemoryEngine(self.inbox.put, None, script)
        self.steps = steps(self.inbox.put, script)
        self.runner = Runner(
            self.run,
            Planned(
                plan=self.run.plan,
                on_engine=on_engine | ends,
                opens_database=frozenset({"ingest"}),
            ),
            engine=self.engine,
            steps=self.steps,
            inbox=self.inbox,
            clock=FixedClock(),
            recorder=self.written.extend,
            listeners=listeners,
        )

    def drive(self):
        self.runner.drive()
        return {id: state.value for id, state in self.run.states.items() if "." not in id}


def test_a_run_goes_through_steps_and_dbt_nodes_in_order():
    stage = Stage()
    assert set(stage.drive().values()) == {"success"}
    order = [change.node_id for change in stage.written if change.state is State.SUCCESS]
    assert order == [
        "ingest",
        "session.open",
        "stg",
        "mart",
        "session.close",
        "export",
    ] or order == [
        "ingest",
        "session.open",
        "stg",
        "mart",
        "export",
        "session.close",
    ]
    assert stage.engine.releases == 1  # for the step that opens the database


def test_queued_is_written_before_anything_is_started():
    class Suspicious(MemorySteps):
        def start(self, batch):
            seen = {change.node_id for change in stage.written if change.state is State.QUEUED}
            assert batch.attempts[0].node_id in seen
            super().start(batch)

    stage = Stage(steps=Suspicious)
    stage.drive()
    assert len(stage.steps.started) == 2


def test_a_failure_is_tried_again_and_then_blocks():
    stage = Stage(scripted({"ingest": [fails(), fails()]}))
    assert stage.drive() == {
        "ingest": "failed",
        "stg": "upstream_failed",
        "mart": "upstream_failed",
        "export": "upstream_failed",
    }
    assert [attempt.number for attempt in stage.steps.started] == [1, 2]
    assert [change.node_id for change in stage.engine.skipped] == ["stg", "mart"]
    assert stage.run.state is RunState.FAILED


def test_a_listener_that_breaks_stops_nothing(caplog):
    def broken(changes):
        raise OSError("no space left")

    stage = Stage(listeners=[broken])
    assert set(stage.drive().values()) == {"success"}
    assert "a listener failed" in caplog.text


def test_a_recorder_that_breaks_ends_the_run():
    stage = Stage()

    def full(changes):
        raise OSError("no space left")

    stage.runner._recorder = full
    with pytest.raises(OSError, match="no space left"):
        stage.drive()
    assert stage.steps.started == []


def test_an_interrupt_cancels_what_runs():
    class Slow(MemorySteps):
        def start(self, batch):
            self.started += batch.attempts
            self._emit(Started(batch.attempts[0]))
            threading.Timer(0.01, stage.inbox.put, [Interrupt("the run got SIGINT")]).start()

        def cancel(self, attempt):
            from dbtorch.core.events import Finished

            super().cancel(attempt)
            self._emit(Finished(attempt, fails("terminated")))

    stage = Stage(steps=Slow)
    assert set(stage.drive().values()) == {"cancelled"}
    assert stage.steps.cancelled == [Attempt("ingest", 1)]
    assert stage.engine.end_hooks is False
    assert stage.run.state is RunState.CANCELLED
