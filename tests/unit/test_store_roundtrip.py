"""Whatever a run does, SQLite remembers what a few lines of Python make of its changes."""

from collections import Counter, defaultdict
from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbtorch.adapters.store import open_store
from dbtorch.core.history.records import AttemptRecord, NodeRecord, Transition
from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import NO_REASON, Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from tests.stores import a_node, a_run, after, an_attempt

NODES = {
    "model.a": Kind.MODEL,
    "step.b": Kind.STEP,
    "operation.c": Kind.OPERATION,
    "session.d": Kind.SESSION,
}

#: Where a node may go from where it is.
MOVES = {
    State.PENDING: [State.QUEUED, State.SKIPPED, State.UPSTREAM_FAILED, State.CANCELLED],
    State.QUEUED: [State.RUNNING, State.FAILED, State.UP_FOR_RETRY],
    State.RUNNING: [State.SUCCESS, State.WARN, State.FAILED, State.UP_FOR_RETRY, State.CANCELLED],
    State.UP_FOR_RETRY: [State.QUEUED, State.CANCELLED],
}

json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
#: What a database gives back as it was; the rest becomes U+FFFD.
plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)

reasons = st.builds(
    Reason,
    st.sampled_from([kind for kind in ReasonKind if kind is not ReasonKind.NONE]),
    st.lists(plain, max_size=2).map(tuple),
    plain,
) | st.just(NO_REASON)


@st.composite
def outcomes(draw, state: State):
    state = State.FAILED if state is State.UP_FOR_RETRY else state
    return Outcome(
        state=state,
        message=draw(plain),
        failure_class=draw(st.none() | st.sampled_from(FailureClass)),
        rows_affected=draw(st.none() | st.integers(-1, 2**62)),
        output=draw(json),
        details=draw(st.dictionaries(st.text(max_size=3), json, max_size=2)),
    )


@st.composite
def stretches(draw):
    """Turns of a loop, each some legal changes."""
    states = dict.fromkeys(NODES, State.PENDING)
    attempts = dict.fromkeys(NODES, 0)
    turns = []
    for turn in range(draw(st.integers(0, 6))):
        changes = []
        for _ in range(draw(st.integers(0, 5))):
            id = draw(st.sampled_from(list(NODES)))
            before = states[id]
            moves = MOVES.get(before, [])
            if NODES[id] is Kind.OPERATION and before is State.PENDING:
                moves = [State.RUNNING, State.SUCCESS, State.SKIPPED]
            if not moves:
                continue
            state = states[id] = draw(st.sampled_from(moves))
            attempts[id] += state is State.QUEUED or (
                before is State.PENDING and state in (State.RUNNING, State.SUCCESS)
            )
            tried = state is not State.QUEUED and (before.active or state is State.SUCCESS)
            ended = tried and state is not State.RUNNING
            changes.append(
                Changed(
                    node_id=id,
                    attempt=attempts[id],
                    before=before,
                    state=state,
                    at=after(turn + draw(st.floats(0, 0.9))),
                    reason=draw(reasons),
                    outcome=draw(outcomes(state)) if ended and draw(st.booleans()) else None,
                    retry_at=after(turn + 60) if state is State.UP_FOR_RETRY else None,
                )
            )
        turns.append(changes)
    return turns


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    """A store; examples share it, each in runs of its own."""
    store = open_store(None, tmp_path_factory.mktemp("project"))
    yield store
    store.close()


class Told:
    """What is known of a run, in plain Python: the reference."""

    def __init__(self):
        self.nodes, self.attempts, self.transitions = {}, defaultdict(dict), []

    def begin(self, nodes):
        """Plan a run, or go on with it: what was known of nodes stays, in the plan's new order."""
        known, self.nodes = self.nodes, {}
        for node in nodes:
            pending = NodeRecord(id=node.id, kind=node.kind, name=node.name, state=State.PENDING)
            self.nodes[node.id] = known.pop(node.id, pending)
        self.nodes.update(known)

    def record(self, change):
        id, number, state = change.node_id, change.attempt, change.state
        self.nodes[id] = replace(
            self.nodes[id],
            state=state,
            reason=change.reason,
            updated_at=change.at,
            retry_at=change.retry_at,
        )
        self.transitions.append(
            Transition(
                node_id=id,
                attempt=number,
                before=change.before,
                state=state,
                at=change.at,
                reason=change.reason,
            )
        )
        attempts, runs = self.attempts[id], state is State.RUNNING
        begins = change.before is State.PENDING and (runs or change.outcome is not None)
        if state is State.QUEUED or begins:  # an operation is never queued
            attempts[number] = AttemptRecord(number=number, state=state, queued_at=change.at)
        if number not in attempts:
            return
        if runs:
            attempts[number] = replace(attempts[number], state=state, started_at=change.at)
        elif state is not State.QUEUED and (change.outcome is not None or change.before.active):
            failed = state in (State.FAILED, State.UP_FOR_RETRY)
            state = State.FAILED if failed else state
            nothing_said = Outcome(
                state=state,
                message=str(change.reason),
                failure_class=FailureClass.UNKNOWN if failed else None,
            )
            outcome = change.outcome or nothing_said
            attempts[number] = replace(
                attempts[number],
                state=state,
                finished_at=change.at,
                failure_class=outcome.failure_class,
                message=outcome.message,
                rows_affected=outcome.rows_affected,
                output=outcome.output,
                details=outcome.details,
            )

    def all_nodes(self):
        return tuple(
            replace(node, attempts=tuple(one for _, one in sorted(self.attempts[node.id].items())))
            for node in self.nodes.values()
        )

    def counts(self):
        kinds = (node for node in self.nodes.values() if node.kind is not Kind.SESSION)
        return dict(Counter(node.state for node in kinds))

    def durations(self):
        """Seconds of the newest success of each node."""
        good = {
            id: [
                one
                for one in attempts.values()
                if one.state in (State.SUCCESS, State.WARN) and one.seconds is not None
            ]
            for id, attempts in self.attempts.items()
        }
        return {
            id: (max((one.finished_at, one.seconds) for one in ones)[1],)
            for id, ones in good.items()
            if ones
        }


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(first=stretches(), second=stretches(), left_out=st.sampled_from([None, *NODES]))
def test_what_is_written_is_remembered(sqlite, first, second, left_out):
    nodes = [a_node(id, kind) for id, kind in NODES.items()]
    run_id = project = uuid4().hex
    told = Told()
    later = [node for node in nodes if node.id != left_out]
    for pid, planned, turns in ((1, nodes, first), (2, later, second)):
        run = a_run(run_id, project=project, pipeline=project, target=project, pid=pid)
        sqlite.begin(run, planned)
        told.begin(planned)
        for changes in turns:
            sqlite.record(run_id, changes)
            for change in changes:
                told.record(change)
    sqlite.end(run_id, RunState.FAILED, after(99))
    found = sqlite.run(run_id)
    assert found.nodes == told.all_nodes()
    assert found.transitions == tuple(told.transitions)
    ended = replace(run, state=RunState.FAILED, finished_at=after(99))
    assert replace(found, nodes=(), transitions=()) == ended
    (summary,) = sqlite.runs(pipeline=project)
    assert summary.counts == told.counts()
    assert sqlite.durations(project, last=1) == told.durations()


@settings(deadline=None, max_examples=50)
@given(text=st.text(max_size=30))
def test_any_text_can_be_a_message(sqlite, text):
    """Half characters and NUL, which databases refuse, never stop a run."""
    run_id = uuid4().hex
    sqlite.begin(a_run(run_id), [a_node("model.a")])
    sqlite.record(run_id, an_attempt("model.a", Outcome(state=State.SUCCESS, message=text)))
    (attempt,) = sqlite.attempts(run_id, "model.a")
    assert len(attempt.message) == len(text)
