"""What every store promises about runs, nodes and attempts: the double, SQLite and Postgres."""

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import AttemptRecord, Transition
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import NO_REASON, Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.ports.store import Store
from tests.stores import NOON, SUCCESS, a_node, a_run, after, an_attempt, change, seen_by

BLOCKED = Reason(ReasonKind.UPSTREAM_FAILED, ("model.x",))
DROPPED = Outcome(
    state=State.FAILED, message="connection lost", failure_class=FailureClass.TRANSIENT
)


def node_of(store: Store, run_id: str, node_id: str):
    run = store.run(run_id)
    assert run is not None
    return next(node for node in run.nodes if node.id == node_id)


def test_a_run_comes_back_as_it_was_written(store):
    run = a_run(
        trigger="scheduled",
        command=("dbtorch", "run", "--vars", '{"ä": "☃"}', "\udcff"),
        dbt_args=("build", "--threads", "4"),
        dbtorch_version="0.1.0",
        dbt_version="1.11.16",
        adapter="duckdb 1.11.1",
        manifest_hash="abc",
        git_commit="0" * 40,
        git_dirty=True,
        host="there",
        pid=2**40,
        edges=(("seed.a", "model.b"), ("model.b", "test.c")),
        options={"select": ["tag:daily"], "full_refresh": False, "vars": None},
        resumed_at=after(600),
        seconds_before=42.5,
    )
    store.begin(run, [])
    assert store.run("r1") == run
    (listed,) = store.runs()
    assert (listed.resumed_at, listed.seconds_before) == (after(600), 42.5)


@pytest.mark.parametrize("dirty", [None, False, True])
def test_dirtiness_has_three_answers(store, dirty):
    store.begin(a_run(git_dirty=dirty), [])
    assert store.run("r1").git_dirty is dirty


def test_there_is_no_run_that_nobody_began(store):
    assert store.run("r1") is None
    assert store.runs() == []
    assert store.find("latest") == []
    assert store.attempts("r1", "model.a") == []
    assert store.durations("dev") == {}


def test_nodes_come_back_in_plan_order_with_what_is_known_of_them(store):
    nodes = [
        a_node("model.z", path="models/z.sql", materialized="table", owner="ada", group="core"),
        a_node("model.a", runbook="docs/a.md"),
        a_node("step.load", Kind.STEP),
        a_node("session.open", Kind.SESSION),
    ]
    store.begin(a_run(), nodes)
    found = store.run("r1").nodes
    assert [node.id for node in found] == [node.id for node in nodes]
    assert {node.state for node in found} == {State.PENDING}
    z, a, load, _ = found
    assert (z.path, z.materialized, z.owner, z.group) == ("models/z.sql", "table", "ada", "core")
    assert a.runbook == "docs/a.md"
    assert load.kind is Kind.STEP
    assert load.name == "load"


def test_an_attempt_is_followed_from_queue_to_outcome(store):
    store.begin(a_run(), [a_node("model.a")])
    outcome = Outcome(
        state=State.WARN,
        message="3 rows are odd",
        rows_affected=2**40,
        output={"files": [1, 2.5, "ü"]},
        details={"status": "warn", "failures": 3},
    )
    queued, running, ended = an_attempt("model.a", outcome, start=5, seconds=2.5)

    store.record("r1", [queued])
    (attempt,) = store.attempts("r1", "model.a")
    assert attempt == AttemptRecord(number=1, state=State.QUEUED, queued_at=after(5))

    store.record("r1", [running])
    (attempt,) = store.attempts("r1", "model.a")
    assert attempt.state is State.RUNNING
    assert attempt.started_at == after(5)
    assert attempt.seconds is None

    store.record("r1", [ended])
    (attempt,) = store.attempts("r1", "model.a")
    assert attempt.state is State.WARN
    assert attempt.finished_at == after(7.5)
    assert attempt.seconds == 2.5
    assert attempt.message == outcome.message
    assert attempt.rows_affected == outcome.rows_affected
    assert attempt.output == outcome.output
    assert attempt.details == outcome.details

    node = node_of(store, "r1", "model.a")
    assert (node.state, node.reason, node.updated_at) == (
        State.WARN,
        Reason.said("3 rows are odd"),
        after(7.5),
    )
    assert node.attempts == (attempt,)


def test_a_failed_attempt_keeps_its_class_while_the_node_waits_for_the_next(store):
    store.begin(a_run(), [a_node("model.a")])
    store.record("r1", an_attempt("model.a", DROPPED, to=State.UP_FOR_RETRY, retry_at=after(30)))
    node = node_of(store, "r1", "model.a")
    assert (node.state, node.retry_at) == (State.UP_FOR_RETRY, after(30))
    assert node.attempts[0].state is State.FAILED
    assert node.attempts[0].failure_class is FailureClass.TRANSIENT

    store.record("r1", an_attempt("model.a", SUCCESS, number=2, start=30))
    node = node_of(store, "r1", "model.a")
    assert (node.state, node.retry_at) == (State.SUCCESS, None)
    assert [attempt.state for attempt in node.attempts] == [State.FAILED, State.SUCCESS]


def test_a_retry_that_is_given_up_leaves_the_attempt_before_alone(store):
    store.begin(a_run(), [a_node("model.a")])
    store.record("r1", an_attempt("model.a", DROPPED, to=State.UP_FOR_RETRY))
    store.record(
        "r1",
        [change("model.a", State.UP_FOR_RETRY, State.CANCELLED, 9, reason=Reason.said("ctrl-c"))],
    )
    node = node_of(store, "r1", "model.a")
    assert (node.state, node.reason) == (State.CANCELLED, Reason.said("ctrl-c"))
    assert node.attempts[0].state is State.FAILED
    assert node.attempts[0].finished_at == after(2)


def test_a_node_that_was_never_tried_has_no_attempt(store):
    store.begin(a_run(), [a_node("model.a"), a_node("model.b")])
    store.record(
        "r1",
        [
            change("model.a", State.PENDING, State.SKIPPED, 1, 0, reason=Reason.said("no table")),
            change("model.b", State.PENDING, State.UPSTREAM_FAILED, 1, 0, reason=BLOCKED),
        ],
    )
    states = [(node.state, node.reason, node.attempts) for node in store.run("r1").nodes]
    assert states == [
        (State.SKIPPED, Reason.said("no table"), ()),
        (State.UPSTREAM_FAILED, BLOCKED, ()),
    ]


@pytest.mark.parametrize("seen", [True, False])
def test_an_attempt_that_dbt_left_out_was_none(store, seen):
    store.begin(a_run(), [a_node("model.a"), a_node("model.b")])
    failed = an_attempt("model.a", DROPPED, to=State.UP_FOR_RETRY, retry_at=after(9))
    queued, running, _ = an_attempt("model.a", SUCCESS, number=2, start=9)
    store.record("r1", [*failed, *an_attempt("model.b", SUCCESS)])
    store.record("r1", [queued, running] if seen else [queued])
    before = State.RUNNING if seen else State.QUEUED
    undone = change("model.a", before, State.PENDING, 10, attempt=1, reason=BLOCKED)
    store.record("r1", [undone])

    assert [attempt.number for attempt in store.attempts("r1", "model.a")] == [1]
    assert [attempt.number for attempt in store.attempts("r1", "model.b")] == [1]
    assert node_of(store, "r1", "model.a").state is State.PENDING
    assert store.run("r1").transitions[-1] == Transition(
        node_id="model.a",
        attempt=1,
        before=before,
        state=State.PENDING,
        at=after(10),
        reason=BLOCKED,
    )
    store.record("r1", an_attempt("model.a", SUCCESS, number=2, start=20)[:1])
    assert [attempt.state for attempt in store.attempts("r1", "model.a")] == [
        State.FAILED,
        State.QUEUED,
    ]


def test_a_hook_that_nobody_queued_is_queued_when_it_starts(store):
    store.begin(a_run(), [a_node("operation.h", Kind.OPERATION)])
    store.record("r1", [change("operation.h", State.PENDING, State.RUNNING, 3)])
    (attempt,) = store.attempts("r1", "operation.h")
    assert (attempt.state, attempt.queued_at, attempt.started_at) == (
        State.RUNNING,
        after(3),
        after(3),
    )
    store.record("r1", [change("operation.h", State.RUNNING, State.SUCCESS, 4, outcome=SUCCESS)])
    (attempt,) = store.attempts("r1", "operation.h")
    assert (attempt.state, attempt.seconds) == (State.SUCCESS, 1)


def test_a_hook_heard_of_only_when_it_is_done_has_an_attempt(store):
    store.begin(a_run(), [a_node("operation.h", Kind.OPERATION)])
    store.record("r1", [change("operation.h", State.PENDING, State.FAILED, 3, outcome=DROPPED)])
    (attempt,) = store.attempts("r1", "operation.h")
    assert (attempt.state, attempt.finished_at, attempt.started_at) == (
        State.FAILED,
        after(3),
        None,
    )


def test_an_attempt_that_ends_without_outcome_does_not_stay_open(store):
    store.begin(a_run(), [a_node("operation.h", Kind.OPERATION)])
    store.record(
        "r1",
        [
            change("operation.h", State.PENDING, State.RUNNING, 3),
            change(
                "operation.h",
                State.RUNNING,
                State.FAILED,
                4,
                reason=Reason.said("the session ended"),
            ),
        ],
    )
    (attempt,) = store.attempts("r1", "operation.h")
    assert (attempt.state, attempt.failure_class) == (State.FAILED, FailureClass.UNKNOWN)
    assert attempt.message == "the session ended"


def test_transitions_come_back_in_the_order_they_were_written(store):
    store.begin(a_run(), [a_node("model.a"), a_node("model.b")])
    store.record("r1", an_attempt("model.b", SUCCESS))
    store.record(
        "r1", [change("model.a", State.PENDING, State.SKIPPED, 0, 0, reason=Reason.said("why"))]
    )
    found = store.run("r1").transitions
    assert store.run("r1", transitions=False) == replace(store.run("r1"), transitions=())
    assert [(t.node_id, t.before, t.state) for t in found] == [
        ("model.b", State.PENDING, State.QUEUED),
        ("model.b", State.QUEUED, State.RUNNING),
        ("model.b", State.RUNNING, State.SUCCESS),
        ("model.a", State.PENDING, State.SKIPPED),
    ]
    assert found[-1] == Transition(
        node_id="model.a",
        attempt=0,
        before=State.PENDING,
        state=State.SKIPPED,
        at=NOON,
        reason=Reason.said("why"),
    )


def test_what_has_changed_since_somebody_looked(store):
    store.begin(a_run(), [a_node("model.b"), a_node("model.a")])
    store.record("r1", [change("model.a", State.PENDING, State.QUEUED, 1)])
    first = store.run_changes("r1", after=0)
    assert [(node.id, node.state) for node in first.nodes] == [("model.a", State.QUEUED)]
    assert [one.state for one in first.nodes[0].attempts] == [State.QUEUED]
    assert store.run_changes("r1", after=first.sequence).nodes == ()
    store.record(
        "r1",
        [
            change(id, State.PENDING, State.SKIPPED, 2, reason=BLOCKED)
            for id in ("model.a", "model.b")
        ],
    )
    store.end("r1", RunState.FAILED, after(9))
    then = store.run_changes("r1", after=first.sequence)
    assert [node.id for node in then.nodes] == ["model.b", "model.a"]  # as planned
    assert then.nodes == store.run("r1").nodes
    assert (then.state, then.finished_at) == (RunState.FAILED, after(9))
    assert then.sequence == len(store.run("r1").transitions)
    assert store.run_changes("nobody", after=0) is None
    assert seen_by(store, project_id="acme/other").run_changes("r1", after=0) is None


def test_changes_of_an_unknown_run_are_refused(store):
    with pytest.raises(StoreError, match="no run r9"):
        store.record("r9", [change("model.a", State.PENDING, State.QUEUED, 1)])
    with pytest.raises(StoreError, match="no run r9"):
        store.end("r9", RunState.SUCCESS, NOON)


def test_times_are_the_same_moment_wherever_they_were_taken(store):
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    at = NOON.replace(microsecond=1).astimezone(kathmandu)
    store.begin(a_run(started_at=at), [])
    assert store.run("r1").started_at == at
    assert store.runs()[0].started_at == at


def test_a_run_ends(store):
    store.begin(a_run(), [a_node("model.a")])
    store.end("r1", RunState.FAILED, after(100))
    run = store.run("r1")
    assert (run.state, run.finished_at) == (RunState.FAILED, after(100))
    assert run.dbt_warnings == ()


def test_what_dbt_warned_of_is_kept_until_the_next_execution_ends(store):
    found = (
        DbtWarning(name="Deprecated", text="old", count=3),
        DbtWarning(name="W", text="w", node_id="model.a"),
    )
    store.begin(a_run(), [])
    store.end("r1", RunState.FAILED, after(100), dbt_warnings=found)
    store.end("r1", RunState.SUCCESS, after(200))  # marked by hand
    kept = store.run("r1").dbt_warnings
    assert kept == found
    assert kept[0].count == 3
    store.end("r1", RunState.SUCCESS, after(200), dbt_warnings=())
    assert store.run("r1").dbt_warnings == ()


# ------------------------------------------------------------------ runs that go on


def test_a_run_that_goes_on_keeps_what_it_has_but_for_what_changes(store):
    nodes = [a_node(f"model.{name}") for name in ("done", "bad", "flying", "waiting", "new")]
    store.begin(a_run(pid=1, command=("dbtorch", "run")), nodes[:4])
    store.record("r1", an_attempt("model.done", SUCCESS, start=1))
    store.record("r1", an_attempt("model.bad", DROPPED, start=2))
    store.record("r1", an_attempt("model.flying", SUCCESS, start=8)[:2])
    store.end("r1", RunState.CANCELLED, after(9))

    changes = [
        change(
            "model.flying",
            State.RUNNING,
            State.FAILED,
            8,
            reason=Reason.said("lost"),
            outcome=DROPPED,
        ),
        change("model.flying", State.FAILED, State.PENDING, 500),
        change("model.bad", State.FAILED, State.PENDING, 500, reason=Reason.said("once more")),
    ]
    again = a_run(pid=2, started_at=after(500), command=("dbtorch", "retry"))
    store.begin(again, nodes, changes)

    run = store.run("r1")
    assert (run.state, run.finished_at) == (RunState.RUNNING, None)
    assert (run.pid, run.command, run.started_at) == (2, ("dbtorch", "run"), NOON)
    assert [(node.name, node.state, len(node.attempts), node.reason) for node in run.nodes] == [
        ("done", State.SUCCESS, 1, NO_REASON),
        ("bad", State.PENDING, 1, Reason.said("once more")),
        ("flying", State.PENDING, 1, NO_REASON),
        ("waiting", State.PENDING, 0, NO_REASON),
        ("new", State.PENDING, 0, NO_REASON),
    ]
    assert len(run.transitions) == 8 + 3
    lost = node_of(store, "r1", "model.flying").attempts[0]
    assert (lost.state, lost.failure_class) == (State.FAILED, FailureClass.TRANSIENT)
    assert lost.finished_at == after(8)


def test_code_is_remembered_as_of_the_last_plan(store):
    store.begin(a_run(), [a_node("model.a", checksum="one"), a_node("model.b")])
    assert [node.checksum for node in store.run("r1").nodes] == ["one", ""]
    store.begin(a_run(), [a_node("model.a", checksum="two")])
    assert node_of(store, "r1", "model.a").checksum == "two"


def test_nodes_that_a_later_stretch_leaves_out_come_last(store):
    names = ("kept", "waiting", "failed")
    store.begin(a_run(), [a_node(f"model.{name}") for name in reversed(names)])
    store.record("r1", an_attempt("model.failed", DROPPED))
    left = change(
        "model.waiting", State.PENDING, State.SKIPPED, 9, attempt=0, reason=Reason.said("left out")
    )
    store.begin(a_run(), [a_node("model.kept")], [left])
    assert [(node.name, node.state, node.reason) for node in store.run("r1").nodes] == [
        ("kept", State.PENDING, NO_REASON),
        ("failed", State.FAILED, Reason.said("connection lost")),
        ("waiting", State.SKIPPED, Reason.said("left out")),
    ]
