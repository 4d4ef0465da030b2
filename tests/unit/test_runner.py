"""The loop, over in-memory doubles."""

import threading
from datetime import timedelta
from functools import partial

import pytest

from dbtorch.app.inbox import Inbox, Interrupt, Requested, StartsPaused
from dbtorch.app.planning import Planned
from dbtorch.app.runner import Runner
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import Action, Verb
from dbtorch.core.model.deadline import Deadline, DeadlineAction, Deadlines
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Finished,
    MicrobatchBuilt,
    MicrobatchesPlanned,
    Outdated,
    Started,
)
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import RunState, State
from dbtorch.core.plan import Plan, with_session
from dbtorch.core.run.machine import Run
from dbtorch.core.run.timekeeper import Timekeeper
from dbtorch.testing import SUCCEEDS, FixedClock, MemoryEngine, MemorySteps, fails, scripted


class Stage:
    """A run over doubles: ingest -> stg -> mart -> export."""

    def __init__(self, script=None, *, steps=MemorySteps, listeners=(), **more):
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
        self.clock = FixedClock()
        self.run = Run(Plan(graph=graph, policies=policies), random=lambda: 0.5)
        self.engine = MemoryEngine(self.inbox.put, None, script)
        self.steps = steps(self.inbox.put, script)
        self.runner = Runner(
            self.run,
            Planned(
                plan=self.run.plan,
                on_engine=on_engine | ends,
                opens_database=frozenset({"ingest"}),
                project=graph,
            ),
            engine=self.engine,
            steps=self.steps,
            inbox=self.inbox,
            clock=self.clock,
            recorder=self.written.extend,
            listeners=listeners,
            **more,
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


class Slow(MemorySteps):
    """Every attempt runs until it is cancelled; ``meanwhile`` is called when the first has begun."""

    def __init__(self, emit, script):
        super().__init__(emit, script)
        self.meanwhile = lambda: None

    def start(self, batch):
        (attempt,) = batch.attempts
        self._emit(Started(attempt))
        if not self.started:
            threading.Timer(0.01, self.meanwhile).start()
        self.started.append(attempt)

    def cancel(self, attempt):
        super().cancel(attempt)
        self._emit(Finished(attempt, fails("terminated")))


def test_what_is_heard_of_later_is_written_as_of_when_it_happened():
    now = FixedClock().now()
    ago = [now - timedelta(seconds=seconds) for seconds in (9, 7, 8, -60)]

    class Gulps(MemorySteps):
        def start(self, batch):
            (attempt,) = batch.attempts
            self.started.append(attempt)
            if attempt.node_id == "ingest":
                self._emit(Started(attempt, ago[0]))
                self._emit(Finished(attempt, SUCCEEDS, ago[1]))
            else:  # before what was heard of before, and in the future
                self._emit(Started(attempt, ago[2]))
                self._emit(Finished(attempt, SUCCEEDS, ago[3]))

    stage = Stage(steps=Gulps)
    assert set(stage.drive().values()) == {"success"}
    at = {(change.node_id, change.state): change.at for change in stage.written}
    assert at["ingest", State.QUEUED] == now
    assert at["ingest", State.RUNNING] == ago[0]
    assert at["ingest", State.SUCCESS] == ago[1]
    assert at["stg", State.RUNNING] == now  # nothing was said of it
    assert at["export", State.RUNNING] == now
    assert at["export", State.SUCCESS] == now


def test_an_interrupt_cancels_what_runs():
    stage = Stage(steps=Slow)
    stage.steps.meanwhile = lambda: stage.inbox.put(
        Interrupt(Reason(ReasonKind.SIGNAL, text="SIGINT"))
    )
    assert set(stage.drive().values()) == {"cancelled"}
    assert stage.steps.cancelled == [Attempt("ingest", 1)]
    assert stage.engine.end_hooks is False
    assert stage.run.state is RunState.CANCELLED


def test_while_the_lease_is_in_doubt_nothing_is_started():
    class Doubts(MemorySteps):
        def start(self, batch):
            if not self.started:
                self._emit(StartsPaused(True))
            super().start(batch)

    stage, meanwhile = Stage(steps=Doubts), []
    take = stage.inbox.take

    def renewed_when_nothing_happens(timeout):
        if stage.inbox._queue.empty():
            assert timeout is None
            meanwhile.extend(change.node_id for change in stage.written)
            stage.inbox.put(StartsPaused(False))
        return take(timeout)

    stage.inbox.take = renewed_when_nothing_happens
    assert set(stage.drive().values()) == {"success"}
    assert set(meanwhile) == {"ingest"}


def request(stage, node_id="", reason="too slow"):
    action = Action(
        action=Verb.CANCEL, at=stage.clock.now(), actor="ana@desk", node_id=node_id, reason=reason
    )
    stage.inbox.put(Requested(action))


def test_a_run_is_cancelled_on_request_and_says_who_asked():
    answered = []
    stage = Stage(steps=Slow, on_answered=lambda action: answered.append(len(stage.written)))
    stage.steps.meanwhile = lambda: request(stage)
    assert set(stage.drive().values()) == {"cancelled"}
    reasons = {str(change.reason) for change in stage.written if change.state is State.CANCELLED}
    assert "the run was cancelled by ana@desk: too slow" in reasons
    assert stage.engine.end_hooks is False
    assert stage.run.state is RunState.CANCELLED
    (written,) = answered
    assert written >= 4  # what follows from it was written before it was answered


def test_one_node_is_cancelled_on_request_and_the_run_goes_on():
    stage = Stage(steps=Slow)
    stage.steps.meanwhile = lambda: request(stage, "ingest", reason="")
    stage.drive()
    ingest = next(change for change in stage.written if change.state is State.CANCELLED)
    assert (ingest.node_id, str(ingest.reason)) == ("ingest", "cancelled by ana@desk")
    assert stage.engine.end_hooks is True
    assert stage.run.state is RunState.CANCELLED  # nothing has failed


def test_a_request_about_a_node_the_run_does_not_have_changes_nothing():
    answered = []
    stage = Stage(on_answered=answered.append)
    request(stage, "nobody")
    assert set(stage.drive().values()) == {"success"}
    assert len(answered) == 1


def test_who_asked_while_another_plan_was_being_made_is_heard_by_that_plan():
    stage = Stage(steps=Slow)

    def meanwhile():
        stage.inbox.put(Outdated())
        request(stage)

    stage.steps.meanwhile = meanwhile
    stage.drive()
    assert not stage.run.finished
    assert [type(event) for event in stage.inbox.take(0)] == [Requested]


@pytest.mark.parametrize(
    ("action", "state"),
    [
        (DeadlineAction.ALERT, RunState.SUCCESS),  # it is only said
        (DeadlineAction.CANCEL, RunState.CANCELLED),
    ],
)
def test_a_deadline_that_passes_is_told_once(action, state):
    class Late(Slow):
        def start(self, batch):
            stage.clock.advance(60)
            (MemorySteps if action is DeadlineAction.ALERT else Slow).start(self, batch)

    late = []
    deadline = Deadline(at=FixedClock().advance(60), action=action)
    keeper = Timekeeper(Deadlines(run=deadline))
    stage = Stage(steps=Late, timekeeper=keeper, on_late=late.append)
    stage.drive()
    assert [(one.node_id, one.deadline, one.missed) for one in late] == [("", deadline.at, True)]
    assert stage.run.state is state


def test_a_dbt_that_does_not_end_is_left_behind_in_time():
    class Hangs(MemoryEngine):
        def start(self, batch):
            if self._refused is not None:
                super().start(batch)
                return
            (attempt,) = batch.attempts
            self._emit(Started(attempt))
            self.started.append(attempt)
            stage.inbox.put(Interrupt(Reason(ReasonKind.SIGNAL, text="SIGTERM"), within=9))

        def cancel(self, attempt):
            stage.clock.advance(9)

        def abandon(self, why):
            super().abandon(why)
            self._hand_back([Batch(1, tuple(self.started))], fails(why))

    stage = Stage()
    stage.runner._engine = Hangs(stage.inbox.put, None)
    assert stage.drive()["stg"] == "cancelled"
    assert stage.run.states["session.close"] is State.FAILED
    assert str(stage.written[-1].reason) == "dbt did not end in time after the run was cancelled"
    assert stage.run.state is RunState.CANCELLED


def test_a_deadline_that_was_told_before_is_not_told_again():
    late = []
    deadline = Deadline(at=FixedClock().now(), action=DeadlineAction.CANCEL, told=True)
    stage = Stage(timekeeper=Timekeeper(Deadlines(run=deadline)), on_late=late.append)
    assert set(stage.drive().values()) == {"success"}
    assert late == []


def test_a_node_that_was_over_in_time_is_not_late():
    late = []
    at = FixedClock().advance(60)
    keeper = Timekeeper(Deadlines(nodes={"ingest": at, "export": at}))

    def hour(changes):
        if any((one.node_id, one.state) == ("ingest", State.SUCCESS) for one in changes):
            stage.clock.advance(60)

    stage = Stage(timekeeper=keeper, on_late=late.append, listeners=[hour])
    stage.drive()
    assert [(one.node_id, one.deadline) for one in late] == [("export", at)]


def test_nothing_is_late_in_a_run_that_is_being_ended():
    class Interrupted(Slow):
        def start(self, batch):
            super().start(batch)
            stage.inbox.put(Interrupt(Reason(ReasonKind.SIGNAL, text="SIGTERM")))

        def cancel(self, attempt):
            stage.clock.advance(60)
            super().cancel(attempt)

    late = []
    keeper = Timekeeper(Deadlines(nodes={"ingest": FixedClock().advance(60)}))
    stage = Stage(steps=Interrupted, timekeeper=keeper, on_late=late.append)
    stage.drive()
    assert stage.run.state is RunState.CANCELLED
    assert late == []


class PlansBatches(MemoryEngine):
    """An engine whose stg is built in batches, once what it plans is kept."""

    def start(self, batch):
        (attempt,) = batch.attempts
        if attempt.node_id != "stg":
            super().start(batch)
            return
        day = (FixedClock().now(), FixedClock().now() + timedelta(days=1))
        go_on = partial(self._go_on, batch, day)
        self._emit(MicrobatchesPlanned(attempt, (day,), go_on))

    def _go_on(self, batch, day):
        self._emit(MicrobatchBuilt(batch.attempts[0], day))
        super().start(batch)


def test_an_attempt_that_plans_goes_on_when_that_is_written():
    said = []
    stage = Stage(on_progress=lambda progress: said.extend(map(type, progress)))
    stage.engine = PlansBatches(stage.inbox.put, None, scripted({}))
    stage.runner._engine = stage.engine
    assert set(stage.drive().values()) == {"success"}
    assert said == [MicrobatchesPlanned, MicrobatchBuilt]


def test_nothing_is_built_of_what_could_not_be_written():
    def full(progress):
        raise StoreError("disk full")

    stage = Stage(on_progress=full)
    stage.runner._engine = PlansBatches(stage.inbox.put, None, scripted({}))
    with pytest.raises(StoreError, match="disk full"):
        stage.drive()
    assert stage.run.states["stg"] is State.QUEUED
    assert not stage.inbox.take(0)
