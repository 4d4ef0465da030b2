"""The run state machine: what starts when, and what a failure means."""

from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.model.events import Attempt, Batch, Ended, Finished, Outcome, Started
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Breaker, OnFailure, Policy, Retry, Trigger
from dbtorch.core.model.reason import FAIL_FAST, Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN, STEPS, THREADS, Plan, with_session
from dbtorch.core.run.machine import PreviousState, Run
from dbtorch.testing import SUCCEEDS, FixedClock, fails

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DATA = FailureClass.DATA


def node(id, kind=Kind.MODEL):
    return Node(id=id, kind=kind, name=id)


def a_run(ids, edges=(), *, prior=None, pools=None, policies=None, expected=None, **more):
    plan = Plan(
        graph=Graph([node(id) for id in ids], edges),
        policies=policies or {},
        pools=pools or {},
        expected=expected or {},
        **more,
    )
    return Run(plan, random=lambda: 0.5, prior=prior)


def started(due):
    return [attempt.node_id for batch in due.batches for attempt in batch.attempts]


def finish(run, id, outcome=SUCCEEDS, now=NOW):
    attempt = Attempt(id, run.attempts[id])
    run.record(Started(attempt), now)
    return run.record(Finished(attempt, outcome), now)


def states(run):
    return {id: state.value for id, state in run.states.items()}


def test_a_child_starts_when_all_of_its_parents_are_done():
    run = a_run("abc", [("a", "c"), ("b", "c")])
    assert started(run.due(NOW)) == ["a", "b"]
    finish(run, "a")
    assert started(run.due(NOW)) == []
    finish(run, "b")
    assert started(run.due(NOW)) == ["c"]
    finish(run, "c")
    assert run.finished
    assert run.state is RunState.SUCCESS


def test_a_failure_blocks_its_descendants_and_nothing_else():
    run = a_run("abcd", [("a", "b"), ("b", "c")])
    run.due(NOW)
    changes = finish(run, "a", fails(failure_class=DATA))
    assert states(run) == {
        "a": "failed",
        "b": "upstream_failed",
        "c": "upstream_failed",
        "d": "queued",
    }
    assert {change.node_id: change.cause for change in changes} == {"a": "", "b": "a", "c": "a"}
    finish(run, "d")
    assert run.state is RunState.FAILED


def test_a_warning_blocks_nothing():
    run = a_run("ab", [("a", "b")])
    run.due(NOW)
    finish(run, "a", Outcome(state=State.WARN))
    assert started(run.due(NOW)) == ["b"]


def test_a_skip_is_handed_on_with_its_cause():
    run = a_run("abc", [("a", "b"), ("b", "c")])
    run.due(NOW)
    changes = finish(run, "a", Outcome(state=State.SKIPPED, message="no URL"))
    assert [change.state for change in changes] == [State.SKIPPED] * 3
    assert changes[2].reason == Reason(ReasonKind.UPSTREAM_SKIPPED, ("a",))
    assert str(changes[2].reason) == "a was skipped"
    assert run.state is RunState.SUCCESS


def test_a_waiting_retry_takes_no_slot_and_comes_back_on_time():
    run = a_run(
        "ab",
        pools={THREADS: 1},
        policies={id: Policy(slots={THREADS: 1}, retry=Retry.times(1, delay=60)) for id in "ab"},
    )
    assert started(run.due(NOW)) == ["a"]
    (change,) = finish(run, "a", fails())
    assert change.state is State.UP_FOR_RETRY
    assert change.retry_at == NOW + timedelta(seconds=30)  # 0.5 of 60 s
    assert started(run.due(NOW)) == ["b"]
    assert run.wake_at() == NOW + timedelta(seconds=30)
    later = NOW + timedelta(seconds=30)
    assert started(run.due(later)) == []  # b has the only thread
    assert run.wake_at() is None  # and asking again before b ends would change nothing
    finish(run, "b")
    due = run.due(later)
    assert due.batches[0].attempts == (Attempt("a", 2),)
    finish(run, "a")
    assert run.state is RunState.SUCCESS


def test_retries_end_with_the_budget():
    run = a_run("a", policies={"a": Policy(retry=Retry.times(2, delay=0))})
    for expected in ("up_for_retry", "up_for_retry", "failed"):
        run.due(NOW)
        finish(run, "a", fails())
        assert run.states["a"] == expected
    assert run.attempts["a"] == 3


@pytest.mark.parametrize(
    ("failure_class", "tries"),
    [
        (FailureClass.TRANSIENT, 3),  # the same attempt may work a moment later
        (FailureClass.TIMEOUT, 2),
        (FailureClass.UNKNOWN, 2),  # the benefit of the doubt, once
        (FailureClass.DATA, 1),  # a second look at bad rows shows bad rows
        (FailureClass.CODE, 1),  # a second look at bad SQL shows bad SQL
    ],
)
def test_the_class_of_a_failure_decides_how_often_it_is_tried(failure_class, tries):
    run = a_run("a", policies={"a": Policy(retry=Retry(delay=0))})
    while not run.finished:
        run.due(NOW)
        finish(run, "a", fails(failure_class=failure_class))
    assert run.attempts["a"] == tries


def test_ready_nodes_start_by_priority_then_by_the_longest_remaining_path():
    slots = {THREADS: 1}
    run = a_run(
        ["short", "long", "long_child", "urgent"],
        [("long", "long_child")],
        pools={THREADS: 3},
        policies={
            "short": Policy(slots=slots),
            "long": Policy(slots=slots),
            "urgent": Policy(slots=slots, priority=1),
        },
        expected={"short": 5, "long": 1, "long_child": 9, "urgent": 0.1},
    )
    assert started(run.due(NOW)) == ["urgent", "long", "short"]


def test_a_node_that_wants_the_whole_pool_gets_its_turn():
    one, whole = Policy(slots={THREADS: 1}), Policy(slots={THREADS: 2}, priority=1)
    run = a_run("abx", pools={THREADS: 2}, policies={"a": one, "b": one, "x": whole})
    assert started(run.due(NOW)) == ["x"]
    finish(run, "x")
    assert started(run.due(NOW)) == ["a", "b"]


def test_a_node_that_wants_more_than_a_pool_has_takes_all_of_it():
    run = a_run("a", pools={THREADS: 2}, policies={"a": Policy(slots={THREADS: 99})})
    assert started(run.due(NOW)) == ["a"]


def test_an_attempt_that_takes_too_long_is_cancelled_and_counts_as_a_timeout():
    run = a_run("a", policies={"a": Policy(timeout=10, retry=Retry(retries={}))})
    run.due(NOW)
    run.record(Started(Attempt("a", 1)), NOW)
    late = NOW + timedelta(seconds=10)
    assert run.wake_at() == late
    assert run.due(late).cancels == (Attempt("a", 1),)
    assert run.due(late).cancels == ()
    (change,) = run.record(Finished(Attempt("a", 1), fails("interrupted")), late)
    assert change.outcome.failure_class is FailureClass.TIMEOUT
    assert change.reason == Reason(ReasonKind.TIMEOUT, text="10 s")
    assert str(change.reason) == change.outcome.message == "timed out after 10 s"


def test_success_that_came_just_before_the_cancel_stays_a_success():
    run = a_run("a", policies={"a": Policy(timeout=10)})
    run.due(NOW)
    run.record(Started(Attempt("a", 1)), NOW)
    run.due(NOW + timedelta(seconds=10))
    run.record(Finished(Attempt("a", 1), SUCCEEDS), NOW)
    assert run.states["a"] is State.SUCCESS


def test_cancelling_leaves_out_what_waits_and_stops_what_runs():
    run = a_run(
        "abc",
        [("a", "b")],
        pools={THREADS: 1},
        policies={id: Policy(slots={THREADS: 1}) for id in "abc"},
    )
    run.due(NOW)
    changes = run.cancel(Reason(ReasonKind.SIGNAL, text="SIGINT"), NOW)
    assert {change.node_id for change in changes} == {"b", "c"}
    assert run.due(NOW).cancels == (Attempt("a", 1),)
    finish(run, "a", fails("interrupted"))
    assert set(run.states.values()) == {State.CANCELLED}
    assert run.state is RunState.CANCELLED


def test_a_cancelled_node_takes_along_what_depends_on_it_and_nothing_else():
    run = a_run("abcd", [("a", "b"), ("b", "c")])
    run.due(NOW)
    changes = run.cancel_node("b", Reason(ReasonKind.NODE_CANCELLED, text="ana"), NOW)
    assert [(change.node_id, str(change.reason)) for change in changes] == [
        ("b", "cancelled by ana"),
        ("c", "b was cancelled"),
    ]
    finish(run, "a")
    finish(run, "d")
    assert states(run) == {"a": "success", "b": "cancelled", "c": "cancelled", "d": "success"}
    assert run.state is RunState.CANCELLED  # not all was done, and nothing failed


def test_a_run_with_a_failure_has_failed_whatever_was_cancelled_of_it():
    run = a_run("ab", policies={"b": Policy(retry=Retry.times(0, delay=0))})
    run.due(NOW)
    run.cancel_node("a", Reason(ReasonKind.NODE_CANCELLED, text="ana"), NOW)
    run.due(NOW)
    finish(run, "a", fails("interrupted"))
    finish(run, "b", fails("no such column"))
    assert states(run) == {"a": "cancelled", "b": "failed"}
    assert run.state is RunState.FAILED


def test_a_running_node_is_asked_to_stop_and_not_tried_again():
    policy = Policy(retry=Retry.times(3, delay=0), on_failure=OnFailure.CONTINUE)
    run = a_run("ab", [("a", "b")], policies={"a": policy})
    run.due(NOW)
    assert run.cancel_node("a", Reason(ReasonKind.NODE_CANCELLED, text="ben"), NOW) == []
    assert run.due(NOW).cancels == (Attempt("a", 1),)
    changes = finish(run, "a", fails("interrupted"))
    assert [change.state for change in changes] == [State.CANCELLED, State.CANCELLED]
    assert changes[0].outcome.message == "cancelled by ben"
    assert run.finished


def test_a_node_that_waits_for_its_retry_can_be_cancelled():
    run = a_run("a", policies={"a": Policy(retry=Retry.times(1, delay=10))})
    run.due(NOW)
    finish(run, "a", fails("lost"))
    (change,) = run.cancel_node("a", Reason(ReasonKind.NODE_CANCELLED, text="ben"), NOW)
    assert (change.before, change.state) == (State.UP_FOR_RETRY, State.CANCELLED)
    assert run.finished
    assert run.due(NOW + timedelta(hours=1)).batches == ()


def test_a_time_out_that_is_under_way_becomes_the_cancel_somebody_asked_for():
    run = a_run("a", policies={"a": Policy(timeout=10)})
    run.due(NOW)
    run.record(Started(Attempt("a", 1)), NOW)
    late = NOW + timedelta(seconds=10)
    assert run.due(late).cancels == (Attempt("a", 1),)
    run.cancel_node("a", Reason(ReasonKind.NODE_CANCELLED, text="ben"), late)
    assert run.due(late).cancels == ()  # it has been asked already
    (change,) = run.record(Finished(Attempt("a", 1), fails("interrupted")), late)
    assert (change.state, str(change.reason)) == (State.CANCELLED, "cancelled by ben")


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (SUCCEEDS, "success"),  # it was faster
        (fails("no such column", failure_class=DATA), "failed"),  # it failed by itself
    ],
)
def test_how_a_node_ended_before_it_could_be_cancelled_stands(outcome, state):
    run = a_run("a")
    run.due(NOW)
    run.cancel_node("a", Reason(ReasonKind.NODE_CANCELLED, text="ben"), NOW)
    finish(run, "a", outcome)
    assert states(run) == {"a": state}
    assert run.cancel_node("a", Reason(ReasonKind.NODE_CANCELLED, text="ben"), NOW) == []


def test_fail_fast_skips_everything_that_has_not_started():
    run = a_run(
        "abc",
        pools={THREADS: 2},
        fail_fast=True,
        policies={id: Policy(slots={THREADS: 1}) for id in "abc"},
    )
    assert started(run.due(NOW)) == ["a", "b"]
    finish(run, "a", fails(failure_class=DATA))
    assert states(run) == {"a": "failed", "b": "queued", "c": "skipped"}
    assert run.due(NOW).cancels == (Attempt("b", 1),)
    (change,) = finish(run, "b", fails("interrupted"))
    assert (change.state, change.reason) == (State.SKIPPED, FAIL_FAST)
    assert run.state is RunState.FAILED


def test_what_an_ended_batch_did_not_report_is_lost_and_tried_again():
    run = a_run("a", policies={"a": Policy(retry=Retry.times(1, delay=0))})
    (batch,) = run.due(NOW).batches
    (change,) = run.record(Ended(batch, "the worker died"), NOW)
    assert change.state is State.UP_FOR_RETRY
    assert change.outcome.failure_class is FailureClass.TRANSIENT
    assert run.record(Ended(batch, "again"), NOW) == []


def test_answers_about_an_attempt_that_was_given_up_change_nothing():
    run = a_run("a", policies={"a": Policy(retry=Retry.times(1, delay=0))})
    (batch,) = run.due(NOW).batches
    run.record(Ended(batch, "lost"), NOW)
    run.due(NOW)
    assert run.record(Finished(Attempt("a", 1), SUCCEEDS), NOW) == []
    assert run.states["a"] is State.QUEUED


def test_a_resumed_run_keeps_successes_and_counts_attempts_on():
    prior = {"a": PreviousState(State.SUCCESS, 1), "b": PreviousState(State.FAILED, 3)}
    run = a_run("abc", [("a", "b"), ("b", "c")], prior=prior)
    due = run.due(NOW)
    assert due.batches[0].attempts == (Attempt("b", 4),)
    finish(run, "b")
    run.due(NOW)
    finish(run, "c")
    assert run.finished
    assert run.attempts["a"] == 1


def with_a_session(steps=(), models=(), edges=(), hooks=()):
    nodes = [*(node(id, Kind.STEP) for id in steps), *(node(id) for id in models)]
    nodes += [node(id, Kind.OPERATION) for id in hooks]
    graph, policies = with_session(nodes, edges, frozenset(models), {}, retry=Retry(retries={}))
    return Run(Plan(graph=graph, policies=policies), random=lambda: 0.5)


def test_the_session_opens_when_the_first_dbt_node_waits_for_nothing_else():
    run = with_a_session(["ingest"], ["stg"], [("ingest", "stg")])
    assert started(run.due(NOW)) == ["ingest"]
    finish(run, "ingest")
    assert started(run.due(NOW)) == [SESSION_OPEN]
    finish(run, SESSION_OPEN)
    assert started(run.due(NOW)) == ["stg"]
    finish(run, "stg")
    assert started(run.due(NOW)) == [SESSION_CLOSE]
    finish(run, SESSION_CLOSE)
    assert run.finished


def test_a_session_nobody_needs_is_not_opened_but_closes_all_the_same():
    run = with_a_session(["ingest"], ["stg"], [("ingest", "stg")], hooks=["start"])
    run.due(NOW)
    finish(run, "ingest", fails(failure_class=FailureClass.CODE))
    assert run.states[SESSION_OPEN] is State.SKIPPED
    assert started(run.due(NOW)) == [SESSION_CLOSE]  # dbt's artifacts are written in any case
    finish(run, SESSION_CLOSE)
    assert run.finished
    assert run.states["start"] is State.SKIPPED


def test_a_session_that_cannot_open_fails_what_needs_it():
    run = with_a_session(["ingest"], ["stg"])
    assert set(started(run.due(NOW))) == {"ingest", SESSION_OPEN}
    finish(run, SESSION_OPEN, fails("file is locked"))
    assert run.states["stg"] is State.UPSTREAM_FAILED
    assert run.states["ingest"] is State.QUEUED


def test_a_resumed_run_opens_the_session_for_what_is_left():
    graph, policies = with_session(
        [node("a"), node("b")], [("a", "b")], frozenset("ab"), {}, retry=Retry(retries={})
    )
    prior = {"a": PreviousState(State.SUCCESS, 1), "b": PreviousState(State.FAILED, 1)}
    run = Run(Plan(graph=graph, policies=policies), random=lambda: 0.5, prior=prior)
    assert started(run.due(NOW)) == [SESSION_OPEN]
    finish(run, SESSION_OPEN)
    assert started(run.due(NOW)) == ["b"]


@pytest.mark.parametrize("outcome", [SUCCEEDS, fails("file is locked", FailureClass.CODE)])
def test_a_resumed_run_with_nothing_left_opens_the_session_to_close_it(outcome):
    graph, policies = with_session(
        [node("a"), node("b")], [("a", "b")], frozenset("ab"), {}, retry=Retry(retries={})
    )
    prior = {"a": PreviousState(State.SUCCESS, 1), "b": PreviousState(State.WARN, 1)}
    run = Run(Plan(graph=graph, policies=policies), random=lambda: 0.5, prior=prior)
    assert started(run.due(NOW)) == [SESSION_OPEN]
    finish(run, SESSION_OPEN, outcome)
    assert started(run.due(NOW)) == [SESSION_CLOSE]
    finish(run, SESSION_CLOSE)
    assert run.finished
    assert run.state is (RunState.SUCCESS if outcome.state.ok else RunState.FAILED)


def test_hooks_are_reported_and_a_failed_one_fails_the_run_but_blocks_nothing():
    run = with_a_session([], ["stg"], hooks=["start"])
    run.due(NOW)
    finish(run, "start", fails("bad SQL", FailureClass.CODE))
    finish(run, SESSION_OPEN)
    assert started(run.due(NOW)) == ["stg"]
    finish(run, "stg")
    run.due(NOW)
    finish(run, SESSION_CLOSE)
    assert run.state is RunState.FAILED


def test_cancelling_still_closes_the_session():
    run = with_a_session([], ["stg"], hooks=["end"])
    run.due(NOW)
    finish(run, SESSION_OPEN)
    run.due(NOW)
    run.cancel(Reason(ReasonKind.RUN_CANCELLED, text="stop"), NOW)
    finish(run, "stg", fails("interrupted"))
    assert started(run.due(NOW)) == [SESSION_CLOSE]
    finish(run, SESSION_CLOSE)
    assert run.states["end"] is State.CANCELLED
    assert run.state is RunState.CANCELLED


def test_on_demand_needs_a_caller_that_waits_for_nothing_else():
    policies = {"opener": Policy(trigger=Trigger.ON_DEMAND)}
    run = a_run(["opener", "x", "y"], [("opener", "y"), ("x", "y")], policies=policies)
    assert started(run.due(NOW)) == ["x"]
    finish(run, "x")
    assert started(run.due(NOW)) == ["opener"]


def test_a_batch_names_its_attempts():
    run = a_run("a")
    (batch,) = run.due(FixedClock().now()).batches
    assert batch == Batch(1, (Attempt("a", 1),))


def test_what_waits_for_its_retry_has_failed_under_fail_fast():
    run = a_run("abc", [("a", "c")], fail_fast=True, policies={"a": Policy(retry=Retry.times(1))})
    run.due(NOW)
    finish(run, "a", fails("deadlock"))
    assert run.states["a"] is State.UP_FOR_RETRY
    changes = finish(run, "b", fails(failure_class=DATA))
    assert states(run) == {"a": "failed", "b": "failed", "c": "upstream_failed"}
    assert next(c.reason for c in changes if c.node_id == "a") == Reason.said("deadlock")


def test_each_class_has_retries_of_its_own():
    retry = Retry(retries={FailureClass.TRANSIENT: 2, FailureClass.TIMEOUT: 1}, delay=0)
    run = a_run("a", policies={"a": Policy(retry=retry)})
    for found, state in (
        (FailureClass.TRANSIENT, "up_for_retry"),
        (FailureClass.TIMEOUT, "up_for_retry"),
        (FailureClass.TRANSIENT, "up_for_retry"),
        (FailureClass.TIMEOUT, "failed"),
    ):
        run.due(NOW)
        finish(run, "a", fails(failure_class=found))
        assert states(run) == {"a": state}


def test_retries_without_a_class_count_them_all():
    run = a_run("a", policies={"a": Policy(retry=Retry.times(1, delay=0))})
    run.due(NOW)
    finish(run, "a", fails(failure_class=FailureClass.TRANSIENT))
    run.due(NOW)
    finish(run, "a", fails(failure_class=FailureClass.TIMEOUT))
    assert states(run) == {"a": "failed"}


def test_no_try_starts_after_the_budget():
    retry = Retry(retries={FailureClass.TRANSIENT: 9}, delay=10, jitter=False, budget=25)
    run = a_run("a", policies={"a": Policy(retry=retry)})
    run.due(NOW)
    (change,) = finish(run, "a", fails())
    assert change.retry_at == NOW + timedelta(seconds=10)
    run.due(change.retry_at)
    # the next delay would be 20 s, and end after the budget
    (change,) = finish(run, "a", fails(), now=change.retry_at)
    assert change.state is State.FAILED


def test_an_attempt_that_ended_for_the_sake_of_another_one_is_not_counted():
    run = a_run("a", policies={"a": Policy(retry=Retry(retries={}))})
    innocent = Outcome(
        state=State.FAILED, failure_class=FailureClass.TRANSIENT, lost=True, innocent=True
    )
    for _ in range(5):
        run.due(NOW)
        (change,) = finish(run, "a", innocent)
        assert (change.state, change.retry_at) == (State.UP_FOR_RETRY, NOW)


def test_a_failure_that_is_forgiven_blocks_nothing_and_is_no_success():
    run = a_run("ab", [("a", "b")], policies={"a": Policy(on_failure=OnFailure.CONTINUE)})
    run.due(NOW)
    finish(run, "a", fails(failure_class=DATA))
    assert started(run.due(NOW)) == ["b"]
    finish(run, "b")
    assert states(run) == {"a": "failed", "b": "success"}
    assert run.state is RunState.FAILED


def paused_run():
    """Two of four models have just failed transiently; a step and two models are left."""
    slots = {id: Policy(slots={THREADS: 1}, retry=Retry(retries={})) for id in "abcd"}
    run = a_run(
        "abcds",
        policies={**slots, "s": Policy(slots={STEPS: 1})},
        pools={THREADS: 2},
        breaker=Breaker(failures=2, window=60, pause=30, patience=0),
    )
    assert set(started(run.due(NOW))) == {"a", "b", "s"}
    finish(run, "a", fails())
    finish(run, "b", fails())
    return run


def test_a_warehouse_that_is_down_is_probed_and_not_hammered():
    run = paused_run()
    assert started(run.due(NOW)) == []
    assert run.pause.reason.startswith("2 nodes failed")
    later = NOW + timedelta(seconds=30)
    assert run.wake_at() == later
    assert started(run.due(later)) == ["c"]  # and not d, although a thread is free
    assert run.pause.probe == "c"
    finish(run, "c", fails(), now=later)
    assert run.wake_at() == later + timedelta(seconds=30)
    assert started(run.due(later)) == []
    assert started(run.due(later + timedelta(seconds=30))) == ["d"]
    finish(run, "d", now=later)
    assert run.pause is None


def test_a_probe_that_fails_for_a_reason_of_its_own_shows_that_the_warehouse_answers():
    run = paused_run()
    later = NOW + timedelta(seconds=30)
    run.due(later)
    finish(run, "c", fails(failure_class=DATA), now=later)
    assert run.pause is None
    assert started(run.due(later)) == ["d"]


def test_an_outage_costs_no_retries_while_patience_lasts():
    slots = {id: Policy(slots={THREADS: 1}, retry=Retry.times(1, delay=0)) for id in "ab"}
    breaker = Breaker(failures=2, window=60, pause=30, patience=100)
    run = a_run("ab", policies=slots, pools={THREADS: 2}, breaker=breaker)
    run.due(NOW)
    finish(run, "a", fails())
    finish(run, "b", fails())  # each has one try left
    now, probes = NOW, 0
    while not run.finished:
        now += timedelta(seconds=30)
        (probe,) = started(run.due(now))
        finish(run, probe, fails(), now=now)
        probes += 1
    assert probes == 3 + 2  # at 30, 60 and 90 s for nothing, then both lose their last try


def test_failures_that_lie_far_apart_are_no_outage():
    slots = {id: Policy(slots={THREADS: 1}, retry=Retry(retries={})) for id in "abc"}
    run = a_run("abc", policies=slots, pools={THREADS: 2}, breaker=Breaker(failures=2, window=60))
    run.due(NOW)
    finish(run, "a", fails())
    finish(run, "b", fails(), now=NOW + timedelta(seconds=61))
    assert run.pause is None


def test_a_worker_that_died_is_no_outage_of_the_warehouse():
    slots = {id: Policy(slots={THREADS: 1}, retry=Retry(retries={})) for id in "abc"}
    run = a_run("abc", policies=slots, pools={THREADS: 2}, breaker=Breaker(failures=2))
    run.due(NOW)
    for id in "ab":
        finish(
            run, id, Outcome(state=State.FAILED, failure_class=FailureClass.TRANSIENT, lost=True)
        )
    assert run.pause is None


# -------------------------------------------------------------------- nothing may start for now


def test_a_run_that_is_held_back_starts_nothing_and_goes_on_when_it_may():
    again = Retry(retries={FailureClass.TRANSIENT: 1})
    run = a_run("ab", [("a", "b")], policies={"b": Policy(retry=again)})
    assert started(run.due(NOW)) == ["a"]
    run.hold_back(True)
    finish(run, "a")  # what is under way ends
    assert started(run.due(NOW)) == []
    assert run.held_back
    run.hold_back(False)
    assert started(run.due(NOW)) == ["b"]
    run.hold_back(True)
    finish(run, "b", fails(FailureClass.TRANSIENT))
    later = NOW + timedelta(days=1)
    assert started(run.due(later)) == []  # a retry waits, too
    assert run.wake_at() is None  # and nobody asks again and again
    run.hold_back(False)
    assert started(run.due(later)) == ["b"]


def test_a_run_that_is_held_back_and_cancelled_still_ends_its_session():
    run = with_a_session([], ["stg"], [])
    assert started(run.due(NOW)) == [SESSION_OPEN]
    finish(run, SESSION_OPEN)
    run.hold_back(True)
    run.cancel(Reason(ReasonKind.RUN_CANCELLED, text="the lease could not be renewed"), NOW)
    run.hold_back(True)  # said once more
    assert started(run.due(NOW)) == [SESSION_CLOSE]
