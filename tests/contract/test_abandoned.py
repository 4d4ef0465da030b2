"""A run whose supervisor is gone is shown as what it is, and can be closed, in every store."""

import json
import os
import socket

import pytest

from dbtorch.adapters.processes.liveness import this_process
from dbtorch.app import abandoned
from dbtorch.core.errors import LeaseHeld
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.reason import Reason
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.testing import FixedClock
from tests.stores import SUCCESS, a_lease, a_node, a_run, after, an_attempt, change, let_pass
from tests.unit.printed import runs, show

HERE = socket.gethostname()
DROPPED = Outcome(state=State.FAILED, message="lost", failure_class=FailureClass.TRANSIENT)


@pytest.fixture
def half(store):
    """A run that stopped half-way: a node done, one running, one queued, two that wait."""
    nodes = [a_node(f"model.{name}") for name in ("done", "runs", "queued", "waits", "pends")]
    store.begin(a_run("r1", host="elsewhere", pid=7), nodes)
    store.record("r1", an_attempt("model.done", SUCCESS))
    store.record(
        "r1",
        an_attempt("model.waits", DROPPED, to=State.UP_FOR_RETRY, retry_at=after(90)),
    )
    store.record(
        "r1",
        [
            change("model.runs", State.PENDING, State.QUEUED, 3),
            change("model.runs", State.QUEUED, State.RUNNING, 4),
            change("model.queued", State.PENDING, State.QUEUED, 3),
        ],
    )
    return store


def told(store, now):
    """What `runs` and `show` say."""
    lines = []
    for command, args in ((runs, ()), (show, ("r1",))):
        command(store, *args, format="json", echo=lines.append, clock=FixedClock(now))
    (listed,), shown = json.loads(lines[0]), json.loads(lines[1])
    assert listed["state"] == shown["state"]
    assert listed["counts"] == shown["counts"]
    return shown


@pytest.mark.parametrize(
    ("lease", "seconds", "state"),
    [
        ({"host": "elsewhere", "pid": 7}, 40, "running"),  # its word counts until it expires
        ({"host": "elsewhere", "pid": 7}, 60, "interrupted"),
        ({"pid": os.getpid(), "process": this_process()}, 40, "running"),
        ({"pid": os.getpid(), "process": this_process()}, 60, "interrupted"),  # stands still
        ({"pid": 2**30, "process": this_process()}, 1, "interrupted"),  # no waiting: it is dead
        (None, 1, "interrupted"),
    ],
)
def test_a_run_without_a_supervisor_is_never_shown_as_running(half, lease, seconds, state):
    if lease is not None:
        half.acquire(a_lease("r1", **lease))
        let_pass(half, seconds)
    shown = told(half, after(seconds))
    assert shown["state"] == state
    assert shown["counts"].get("running", 0) == (state == "running")


def mine(run_id="r1", **given):
    return a_lease(run_id, host=HERE, pid=os.getpid(), process=this_process(), **given)


def test_closing_an_abandoned_run_says_what_became_of_each_node(half):
    assert abandoned.close(half, "r1", Reason.said("ana wants it"), mine(), after(100)) is None
    run = half.run("r1")
    assert (run.state, run.finished_at) == (RunState.CANCELLED, after(100))
    states = {node.name: node.state.value for node in run.nodes}
    assert states == {
        "done": "success",
        "runs": "failed",
        "queued": "cancelled",
        "waits": "cancelled",
        "pends": "cancelled",
    }
    _, runs_, queued, waits, _ = run.nodes
    assert (queued.attempts, queued.reason) == (
        (),
        Reason.said("ana wants it"),
    )  # dbt had not begun
    (attempt,) = runs_.attempts
    assert attempt.message == "lost: the process of the run (pid 7 on elsewhere) was gone"
    assert attempt.failure_class is FailureClass.TRANSIENT
    assert attempt.finished_at == after(4)  # the last sign of life
    assert waits.reason == Reason.said("ana wants it")
    assert half.holder("shop/default") is None  # it may be gone on with


def test_what_is_shown_is_what_closing_writes(half):
    before = {node.id: node for node in abandoned.as_it_is(half.run("r1")).nodes}
    abandoned.close(half, "r1", Reason.said("enough"), mine(), after(100))
    after_ = {node.id: node for node in half.run("r1").nodes}
    assert before["model.runs"].attempts == after_["model.runs"].attempts
    assert before["model.runs"].reason == after_["model.runs"].reason


def test_a_run_that_somebody_drives_is_not_closed(half):
    half.acquire(a_lease("r1"))
    with pytest.raises(LeaseHeld):
        abandoned.close(half, "r1", Reason.said("enough"), mine(), after(100))
    assert half.run("r1").state is RunState.RUNNING


def test_a_later_run_of_the_pipeline_is_not_disturbed(half):
    later, _ = half.acquire(a_lease("r2"))
    abandoned.close(half, "r1", Reason.said("enough"), mine(), after(100))
    assert half.run("r1").state is RunState.CANCELLED
    assert half.holder("shop/default") == later


def test_a_run_that_has_ended_meanwhile_stays_as_it_is(half):
    half.end("r1", RunState.FAILED, after(50))
    assert abandoned.close(half, "r1", Reason.said("enough"), mine(), after(100)) is RunState.FAILED
    assert half.run("r1").finished_at == after(50)
