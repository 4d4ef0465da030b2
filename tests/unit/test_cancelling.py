"""`dbtorch cancel` over an in-memory history."""

import threading
from datetime import timedelta

import pytest

from dbtorch.core.errors import UsageError
from dbtorch.core.history.records import Verb
from dbtorch.core.model.state import RunState, State
from dbtorch.service.run.cancel import cancel
from dbtorch.service.run.lease import lease_of
from dbtorch.testing import FixedClock
from dbtorch.testing.store import MemoryStore
from tests.stores import a_lease, a_node, a_run, after, change
from tests.unit.story import NOON, Told

RUN = "20260301T120000Z-aaaaaa"
CLOCK = FixedClock(NOON + timedelta(seconds=5))


def alive(run):
    return run.state is RunState.RUNNING


def dead(run):
    return False


@pytest.fixture
def half():
    """The store of a run that is under way."""
    told = Told(seconds={"step.ingest_orders": [100.0]}, until=NOON + timedelta(seconds=5))
    return told.store


def asked(store, *args, is_alive=alive, done=True, **given):
    """What the command says."""
    given = {"actor": "ana@desk", "clock": CLOCK, "patience": 5, **given}
    answer = cancel(store, *args, is_alive=is_alive, **given)
    assert answer.done == done
    return "\n".join(answer.sentences)


def supervise(store, *, states=(), run_state=None, answer=True):
    """A supervisor that does this as soon as it is asked."""

    def work():
        while len(actions := store.actions(RUN)) < max(1, len(states)):
            pass
        run = store.run(RUN)
        for node in run.nodes:
            if node.id in dict(states):
                store.record(RUN, [change(node.id, node.state, dict(states)[node.id], 5)])
        for action in actions if answer else ():
            store.handled(RUN, action.ordinal, after(5))
        if run_state is not None:
            store.end(RUN, run_state, after(6))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nope",), "there is no run 'nope'"),
        (("latest", ["stg_order"]), "did you mean stg_orders or"),
        (("latest", ["stg_rates"]), "model.shop.stg_rates is over in run"),
        (("latest", ["session.open"]), "part of dbt's session: cancel the whole run"),
    ],
)
def test_what_cannot_be_cancelled_is_one_sentence_and_nothing_is_written(half, args, said):
    with pytest.raises(UsageError, match=said):
        asked(half, *args)
    assert half.actions(RUN) == []


def test_a_run_that_is_over_cannot_be_cancelled():
    store = Told().store
    with pytest.raises(UsageError, match=r"is over \(success\); there is nothing to cancel"):
        asked(store, "latest")
    assert store.actions(RUN) == []


def test_a_run_is_cancelled_by_its_supervisor(half):
    supervise(half, run_state=RunState.CANCELLED)
    assert asked(half, "latest", reason="too slow") == f"run {RUN} was cancelled"
    (action,) = half.actions(RUN)
    assert (action.action, action.node_id, action.actor) == (Verb.CANCEL, "", "ana@desk")
    assert (action.reason, action.at) == ("too slow", CLOCK.now())


def test_nodes_are_cancelled_by_its_supervisor(half):
    ids = ["step.ingest_orders", "model.shop.fct_kpis"]
    supervise(half, states=[(id, State.CANCELLED) for id in ids])
    text = asked(half, RUN, ["ingest_orders", "fct_kpis"])
    assert text.splitlines() == [f"{id} was cancelled" for id in ids]
    assert [action.node_id for action in half.actions(RUN)] == ids


def test_a_node_that_was_faster_is_told(half):
    supervise(half, states=[("step.ingest_orders", State.SUCCESS)])
    text = asked(half, RUN, ["ingest_orders"], done=False)
    assert text == "step.ingest_orders ended before it could be cancelled (success)"


def test_a_run_that_was_faster_is_told(half):
    supervise(half, run_state=RunState.SUCCESS, answer=False)
    text = asked(half, "latest", done=False)
    assert text == f"run {RUN} ended before it could be cancelled (success)"


def test_what_takes_long_to_end_is_named(half):
    supervise(half)
    text = asked(half, RUN, ["ingest_orders"], patience=0.5)
    assert text == f"run {RUN} is cancelling; still to end: step.ingest_orders"


def test_a_supervisor_that_does_not_answer_is_named(half):
    text = asked(half, "latest", patience=0, done=False)
    assert "has not answered yet; it cancels as soon as it reads the request" in text


def test_nobody_has_to_wait(half):
    assert asked(half, RUN, ["ingest_orders"], wait=False) == (
        f"run {RUN} was asked to cancel step.ingest_orders"
    )
    assert asked(half, RUN, wait=False) == f"run {RUN} was asked to cancel everything"
    assert len(half.actions(RUN)) == 2


def test_a_run_without_a_supervisor_is_closed(half):
    text = asked(half, "latest", is_alive=dead, reason="tidying up")
    assert text == f"run {RUN} had lost its process; it is cancelled now"
    run = half.run(RUN)
    assert run.state is RunState.CANCELLED
    assert not any(node.state.active or not node.state.final for node in run.nodes)
    (action,) = run.actions
    assert action.handled_at is not None
    reasons = {str(node.reason) for node in run.nodes if node.state is State.CANCELLED}
    assert reasons == {"the run was cancelled by ana@desk: tidying up"}


def test_single_nodes_of_a_run_without_a_supervisor_cannot_be_cancelled(half):
    with pytest.raises(UsageError, match=f"its process is gone: `dbtorch retry {RUN}` goes on"):
        asked(half, "latest", ["ingest_orders"], is_alive=dead)


@pytest.mark.parametrize("nodes", [[], ["ingest_orders"]])
def test_a_supervisor_that_dies_while_it_is_waited_for(half, nodes):
    looks = iter([True])
    text = asked(half, "latest", nodes, is_alive=lambda run: next(looks, False), done=not nodes)
    run = half.run(RUN)
    if nodes:
        assert f"is gone: `dbtorch retry {RUN}` goes on with it" in text
        assert run.state is RunState.RUNNING
    else:
        assert text == f"the process of run {RUN} is gone; the run is cancelled now"
        assert run.state is RunState.CANCELLED
        assert run.actions[0].handled_at is not None


def test_somebody_who_goes_on_with_it_at_this_moment_is_left_alone():
    store = MemoryStore()
    store.begin(a_run("r1"), [a_node("model.a")])
    store.acquire(a_lease("r1", name=lease_of(store, store.run("r1")).name))
    with pytest.raises(UsageError, match="somebody goes on with run r1 at this moment"):
        asked(store, "r1", is_alive=dead, clock=FixedClock(after(1)))
    assert store.run("r1").state is RunState.RUNNING
