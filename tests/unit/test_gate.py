"""What a source that is not fresh means for the nodes that need it."""

from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.model.events import Attempt, Finished, Outcome, Started
from dbtorch.core.model.gate import Gate, OnStale, Require
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import Plan
from dbtorch.core.run.machine import Run
from dbtorch.testing import SUCCEEDS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STALE = Outcome(
    state=State.FAILED,
    failure_class=FailureClass.DATA,
    message="source shop.orders is stale: 31 h, allowed 24 h",
)
LATE = Outcome(state=State.WARN, message="source shop.orders is 13 h old, expected 12 h")
LOST = Outcome(state=State.FAILED, failure_class=FailureClass.TRANSIENT, message="connection lost")

SKIPS = Gate()

#: source -> staging -> mart, for orders and for payments; the mart needs both.
EDGES = [
    ("orders", "stg_orders"),
    ("payments", "stg_payments"),
    ("stg_orders", "test_orders"),
    ("stg_orders", "mart"),
    ("test_orders", "mart"),
    ("stg_payments", "mart"),
    ("mart", "export"),
]


def a_run(orders=SKIPS, payments=SKIPS, *, require=Require.ANY):
    names = sorted({name for edge in EDGES for name in edge})
    gates = {"orders": orders, "payments": payments}
    nodes = [Node(id=n, kind=Kind.SOURCE if n in gates else Kind.MODEL, name=n) for n in names]
    policies = {name: Policy(require=require, retry=Retry(retries={})) for name in names}
    policies |= {name: Policy(gate=gate, retry=Retry(retries={})) for name, gate in gates.items()}
    return Run(Plan(graph=Graph(nodes, EDGES), policies=policies), random=lambda: 0.5)


def drive(run, now=NOW, **outcomes):
    """Run to the end, everything well but what is said."""
    for _ in range(20):
        due = run.due(now)
        for batch in due.batches:
            (attempt,) = batch.attempts
            run.record(Started(attempt), now)
            run.record(Finished(attempt, outcomes.get(attempt.node_id, SUCCEEDS)), now)
        if not due.batches:
            break
    return {id: state.value for id, state in run.states.items()}


@pytest.mark.parametrize("stale", [STALE, LOST])  # what cannot be checked is not fresh
@pytest.mark.parametrize(
    ("action", "source", "behind"),
    [
        (OnStale.SKIP, "skipped", "skipped"),
        (OnStale.FAIL, "failed", "upstream_failed"),
        (OnStale.WARN, "warn", "success"),
    ],
)
def test_a_stale_source_gates_what_needs_it_and_nothing_else(stale, action, source, behind):
    run = a_run(Gate(on_error=action))
    assert drive(run, orders=stale) == {
        "orders": source,
        "stg_orders": behind,
        "test_orders": behind,
        "payments": "success",
        "stg_payments": "success",
        "mart": behind,
        "export": behind,
    }
    assert run.gated is (action is OnStale.SKIP)
    ends = {OnStale.FAIL: RunState.FAILED, OnStale.SKIP: RunState.GATED}
    assert run.state is ends.get(action, RunState.SUCCESS)


def test_what_is_skipped_says_which_source_and_how_old():
    run = a_run()
    changes = []
    for _ in range(5):
        for batch in run.due(NOW).batches:
            (attempt,) = batch.attempts
            outcome = STALE if attempt.node_id == "orders" else SUCCEEDS
            run.record(Started(attempt), NOW)
            changes += run.record(Finished(attempt, outcome), NOW)
    said = {change.node_id: (str(change.reason), change.cause) for change in changes}
    assert said["export"] == (STALE.message, "orders")


def test_each_of_the_thresholds_has_its_own_answer():
    run = a_run(Gate(on_warn=OnStale.SKIP))
    states = drive(run, orders=LATE, payments=LATE)
    assert (states["orders"], states["stg_orders"]) == ("skipped", "skipped")
    assert (states["payments"], states["stg_payments"]) == ("warn", "success")


@pytest.mark.parametrize("action", [OnStale.SKIP, OnStale.FAIL])
def test_yesterdays_table_is_good_enough_where_all_must_be_stale(action):
    run = a_run(Gate(on_error=action), Gate(on_error=action), require=Require.ALL)
    states = drive(run, orders=STALE)
    assert states["stg_orders"] in ("skipped", "upstream_failed")  # its only source is stale
    assert states["test_orders"] == states["stg_orders"]
    assert (states["stg_payments"], states["mart"], states["export"]) == ("success",) * 3

    run = a_run(Gate(on_error=action), Gate(on_error=action), require=Require.ALL)
    states = drive(run, orders=STALE, payments=STALE)
    assert {states[id] for id in ("stg_orders", "stg_payments", "mart", "export")} == {
        "skipped" if action is OnStale.SKIP else "upstream_failed"
    }


def test_a_failure_blocks_also_where_all_must_be_stale():
    run = a_run(require=Require.ALL)
    wrong = Outcome(state=State.FAILED, failure_class=FailureClass.CODE)
    states = drive(run, orders=STALE, stg_payments=wrong)
    assert (states["mart"], states["export"]) == ("upstream_failed", "upstream_failed")


def test_waiting_holds_nothing_and_goes_on_when_the_source_is_fresh():
    run = a_run(Gate(on_error=OnStale.WAIT, every=60, patience=150))
    states = drive(run, orders=STALE)
    assert (states["orders"], states["stg_payments"]) == ("up_for_retry", "success")
    assert run.idle
    assert run.wake_at() == NOW + timedelta(seconds=60)
    states = drive(run, NOW + timedelta(seconds=60))
    assert (states["orders"], states["export"]) == ("success", "success")


@pytest.mark.parametrize(
    ("then", "source", "behind"),
    [
        (OnStale.SKIP, "skipped", "skipped"),
        (OnStale.FAIL, "failed", "upstream_failed"),
        (OnStale.WARN, "warn", "success"),
    ],
)
def test_patience_ends(then, source, behind):
    run = a_run(Gate(on_error=OnStale.WAIT, every=60, patience=150, then=then))
    for seconds in (0, 60, 120):
        states = drive(run, NOW + timedelta(seconds=seconds), orders=STALE)
        # the check at 180 s would be too late
        assert states["orders"] == (source if seconds == 120 else "up_for_retry")
    assert states["export"] == behind


def test_a_check_that_was_cancelled_is_no_verdict():
    run = a_run(Gate(on_error=OnStale.WAIT))
    (first, *_) = run.due(NOW).batches
    assert first.attempts == (Attempt("orders", 1),)
    run.cancel(Reason(ReasonKind.RUN_CANCELLED, text="enough"), NOW)
    run.record(Finished(Attempt("orders", 1), STALE), NOW)
    assert run.states["orders"].final
