"""Whatever a run does, SQLite remembers what the in-memory double remembers."""

from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbtorch.adapters.store import open_store
from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import NO_REASON, Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.testing.store import MemoryStore
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
def stores(tmp_path_factory):
    """The double and SQLite; examples share them, each in runs of its own."""
    sqlite = open_store(None, tmp_path_factory.mktemp("project"))
    yield MemoryStore(), sqlite
    sqlite.close()


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(first=stretches(), second=stretches(), left_out=st.sampled_from([None, *NODES]))
def test_both_remember_the_same(stores, first, second, left_out):
    nodes = [a_node(id, kind) for id, kind in NODES.items()]
    run_id = project = uuid4().hex
    for store in stores:
        store.begin(a_run(run_id, project=project, pipeline=project, target=project), nodes)
        for changes in first:
            store.record(run_id, changes)
        later = [node for node in nodes if node.id != left_out]
        store.begin(a_run(run_id, project=project, pipeline=project, target=project, pid=2), later)
        for changes in second:
            store.record(run_id, changes)
        store.end(run_id, RunState.FAILED, after(99))
    memory, sqlite = stores
    assert sqlite.run(run_id) == memory.run(run_id)
    assert sqlite.runs(pipeline=project) == memory.runs(pipeline=project)
    assert sqlite.durations(project, last=1) == memory.durations(project, last=1)


@settings(deadline=None, max_examples=50)
@given(text=st.text(max_size=30))
def test_any_text_can_be_a_message(stores, text):
    """Half characters and NUL, which databases refuse, never stop a run."""
    _, sqlite = stores
    run_id = uuid4().hex
    sqlite.begin(a_run(run_id), [a_node("model.a")])
    sqlite.record(run_id, an_attempt("model.a", Outcome(state=State.SUCCESS, message=text)))
    (attempt,) = sqlite.attempts(run_id, "model.a")
    assert len(attempt.message) == len(text)
