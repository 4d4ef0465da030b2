"""Steps that wait in the graph: what the run makes of looks, and what a thousand of them cost."""

import queue
import threading
from datetime import timedelta

import pytest

from dbtorch.adapters.dbt.session.answers import outcome_of
from dbtorch.adapters.steps.runner import StepRunner
from dbtorch.core.config import StepSpec
from dbtorch.core.model.events import Finished, Outcome, Started
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Policy
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.model.wait import NOT_YET, Wait
from dbtorch.core.plan import AT_ONCE, LOOKS, STEPS, Plan
from dbtorch.core.run.machine import Run
from dbtorch.ports.steps import StepContext
from tests.stores import NOON
from tests.waiting import PATIENCE, wait_for

NOT_THERE = Outcome(state=State.FAILED, message="waits for file a", waits=True)
THERE = Outcome(state=State.SUCCESS, message="file a")
MINUTE = timedelta(minutes=1)


def plan_of(count=1, **wait):
    """So many steps that wait, and after each one that does something."""
    waits = [Node(id=f"step.w{n}", kind=Kind.STEP, name=f"w{n}") for n in range(count)]
    after = [Node(id=f"step.a{n}", kind=Kind.STEP, name=f"a{n}") for n in range(count)]
    edges = [(one.id, other.id) for one, other in zip(waits, after, strict=True)]
    wait = Wait(**{"every": 60.0, "patience": 600.0, **wait})
    policies = {one.id: Policy(slots={LOOKS: 1}, wait=wait) for one in waits}
    policies |= {one.id: Policy(slots={STEPS: 1}) for one in after}
    graph = Graph([*waits, *after], edges)
    return Plan(graph=graph, policies=policies, pools={LOOKS: AT_ONCE, STEPS: 2})


class Waited:
    """A run on a clock that is set."""

    def __init__(self, *args, **given):
        self.run = Run(plan_of(*args, **given), random=lambda: 0.0)
        self.now = NOON
        self.told = []

    def looks(self, passes=timedelta()):
        """Attempts that are handed out now."""
        self.now += passes
        due = self.run.due(self.now)
        self.told += due.changes
        return [attempt for batch in due.batches for attempt in batch.attempts]

    def find(self, attempt, outcome):
        for event in (Started(attempt), Finished(attempt, outcome)):
            self.told += self.run.record(event, self.now)

    def moves(self):
        return [(one.before.value, one.state.value) for one in self.told if "w" in one.node_id]


def test_it_is_looked_at_until_it_holds_and_is_one_attempt_for_everybody():
    one = Waited()
    for _ in range(5):
        (attempt,) = one.looks()
        assert attempt.number == 1
        one.find(attempt, NOT_THERE)
        assert one.run.wake_at() == one.now + MINUTE
        assert one.looks() == []
        one.now += MINUTE
    (attempt,) = one.looks()
    one.find(attempt, THERE)
    assert one.moves() == [("pending", "queued"), ("queued", "running"), ("running", "success")]
    (after,) = one.looks()
    assert after.node_id == "step.a0"


@pytest.mark.parametrize(
    ("then", "state", "run"),
    [(State.FAILED, "failed", RunState.FAILED), (State.SKIPPED, "skipped", RunState.SUCCESS)],
)
def test_when_its_time_is_over_it_ends_as_it_was_told_to(then, state, run):
    one = Waited(patience=90.0, then=then)
    for passes in (timedelta(), MINUTE, MINUTE / 2):  # the last look is at the very end
        (attempt,) = one.looks(passes)
        one.find(attempt, NOT_THERE)
    assert one.moves()[-1] == ("running", state)
    end = next(change for change in one.told if change.state is then)
    assert str(end.reason) == "waited 1m30s: waits for file a"
    assert end.outcome.failure_class is (FailureClass.TIMEOUT if then is State.FAILED else None)
    assert one.run.finished
    assert one.run.state is run


def test_what_is_wrong_with_it_does_not_wait():
    one = Waited()
    (attempt,) = one.looks()
    broken = Outcome(state=State.FAILED, message="no such path", failure_class=FailureClass.CODE)
    one.find(attempt, broken)
    assert one.moves()[-1] == ("running", "failed")


def test_a_query_says_so_among_other_words():
    one = Waited()
    (attempt,) = one.looks()
    said = {"status": "error", "message": f"Compilation Error in sql_operation: {NOT_YET}"}
    one.find(attempt, outcome_of(said))
    assert not one.run.finished
    assert len(one.looks(MINUTE)) == 1


@pytest.mark.parametrize("looked_at", [True, False])
def test_a_run_that_is_cancelled_waits_for_nothing(looked_at):
    one = Waited()
    (attempt,) = one.looks()
    one.find(attempt, NOT_THERE)
    if looked_at:
        (attempt,) = one.looks(MINUTE)
    one.told += one.run.cancel(Reason(ReasonKind.RUN_CANCELLED), one.now)
    if looked_at:
        assert one.run.due(one.now).cancels == (attempt,)
        one.find(attempt, NOT_THERE)
    assert one.run.finished
    assert one.moves()[-1] == ("running", "cancelled")
    ends = [one for one in one.told if one.state is State.CANCELLED and "w" in one.node_id]
    assert ends[0].outcome is not None  # its attempt ends with it


def test_one_that_is_called_off_by_itself_ends():
    one = Waited()
    (attempt,) = one.looks()
    one.find(attempt, NOT_THERE)
    one.told += one.run.cancel_node("step.w0", Reason(ReasonKind.NODE_CANCELLED), one.now)
    assert one.moves()[-1] == ("running", "cancelled")
    assert one.looks(MINUTE) == []


def test_a_thousand_that_wait_hold_nothing():
    """Between looks nothing is handed out and nothing is written; looks take turns in a few."""
    one = Waited(1000)
    looked = 0
    while looks := one.looks():
        assert len(looks) <= AT_ONCE
        for attempt in looks:
            one.find(attempt, NOT_THERE)
        looked += len(looks)
    assert looked == 1000
    assert one.run.idle
    told = len(one.told)
    assert told == 2000  # queued and running, once each
    one.now += MINUTE
    while looks := one.looks():
        for attempt in looks:
            one.find(attempt, NOT_THERE)
        looked += len(looks)
    assert (looked, len(one.told)) == (2000, told)


def test_looks_of_a_thousand_steps_share_a_few_threads(tmp_path):
    specs = {
        f"w{n}": StepSpec(name=f"w{n}", type="wait_for", action={"file": "a"}, wait=Wait())
        for n in range(1000)
    }
    threads, gate = set(), threading.Event()

    def look(spec, rendered):
        threads.add(threading.current_thread())
        gate.wait(PATIENCE)
        return NOT_THERE

    events = queue.SimpleQueue()
    context = StepContext(
        run_id="r1",
        project="shop",
        pipeline="daily",
        logical_date=NOON,
        data_interval_start=NOON,
        data_interval_end=NOON,
        project_dir=tmp_path,
    )
    runner = StepRunner(
        events.put,
        specs,
        context,
        log_path=lambda attempt: tmp_path / f"{attempt.node_id}.log",
        work_dir=tmp_path / "work",
        look=look,
    )
    before = threading.active_count()
    run = Run(_wide(specs), random=lambda: 0.0)
    for batch in run.due(NOON).batches:
        runner.start(batch)
    wait_for(lambda: len(threads) == AT_ONCE)
    assert threading.active_count() - before == AT_ONCE
    gate.set()
    ended = 0
    while ended < 1000:
        event = events.get(timeout=PATIENCE)
        ended += isinstance(event, Finished)
        run.record(event, NOON)
    assert len(threads) <= AT_ONCE
    assert (tmp_path / "step.w7.log").read_text() == "waits for file a\n"
    runner.close()


def _wide(specs):
    nodes = [Node(id=spec.id, kind=Kind.STEP, name=name) for name, spec in specs.items()]
    policies = {node.id: Policy(slots={}, wait=Wait()) for node in nodes}
    return Plan(graph=Graph(nodes, []), policies=policies)
