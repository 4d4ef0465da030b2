"""What stores keep of triggers: ticks that no schedule makes, each key once, and what happened."""

import threading
from dataclasses import replace

from dbtorch.core.model.events import Outcome
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState, State
from dbtorch.core.schedule.cause import Cause, CauseKind
from dbtorch.core.schedule.ledger import (
    ScheduleChange,
    ScheduleKey,
    SkipReason,
    TickRecord,
    TickState,
)
from tests.stores import NOON, a_run, after, an_attempt, seen_by

KEY = ScheduleKey("daily", "dev")
CAUSE = Cause(kind=CauseKind.WEBHOOK, text="webhook", by="10.0.0.1", params={"country": "fr"})


def tick(**given):
    return TickRecord(scheduled_for=NOON, interval=Interval(None, NOON), due_at=NOON, **given)


def test_each_is_kept_with_what_made_it(store):
    assert store.trigger(KEY, tick(cause=CAUSE, backlog=True)) is None
    assert store.trigger(KEY, tick(cause=CAUSE)) is None
    view = store.ledger()
    record = view.schedules[KEY]
    assert [one.cause for one in record.ticks] == [CAUSE, CAUSE]
    assert [one.backlog for one in record.ticks] == [True, False]
    first, second = (one.scheduled_for for one in record.ticks)
    assert first < second <= store.ledger().now  # by the clock of the database
    assert record.watermark is None  # nothing is decided of its schedule


def test_a_key_makes_one_whoever_asks_and_however_often(store):
    mine = replace(CAUSE, key="order-1")
    answers = []
    apart = [store.apart() for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one=one: answers.append(one.trigger(KEY, tick(cause=mine))))
        for one in apart
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(None) == 1
    (kept,) = [one for _, one in store.ticks()]
    assert kept.cause == mine
    assert all(one in (None, kept) for one in answers)
    assert store.trigger(ScheduleKey("other", "dev"), tick(cause=mine)) is None
    assert seen_by(store, project_id="acme/other").trigger(KEY, tick(cause=mine)) is None


def test_who_has_looked_before_looks_again(store):
    change = ScheduleChange(key=KEY, version=0, watermark=NOON, seen="a")
    assert store.decide([change]) == {KEY}
    store.trigger(KEY, tick(cause=CAUSE))
    assert store.decide([replace(change, version=1)]) == frozenset()
    assert store.decide([replace(change, version=2, seen=None)]) == {KEY}
    assert store.ledger().schedules[KEY].seen == "a"  # nobody has said another thing
    assert store.decide([replace(change, version=3, seen="b")]) == {KEY}
    assert store.ledger().schedules[KEY].seen == "b"


def test_one_that_does_not_run_says_why(store):
    store.trigger(
        KEY, tick(cause=CAUSE, state=TickState.SKIPPED, reason=SkipReason.PAUSED, ended_at=NOON)
    )
    ((_, kept),) = store.ticks()
    assert (kept.state, kept.reason) == ("skipped", "paused")
    assert kept.ended_at == kept.scheduled_for
    assert store.skipped() == {("daily", "paused"): 1}


PAST = ("success", False)


def test_the_last_end_of_a_pipeline_is_that_of_a_whole_run_of_the_present(store):
    assert store.last_end(KEY, [RunState.SUCCESS]) is None
    for number, (state, partial) in enumerate(
        [("success", False), ("failed", False), ("success", True), ("running", False), PAST]
    ):
        past = "backfill" if number == 4 else "manual"
        run = a_run(f"r{number}", pipeline="daily", target="dev", partial=partial, trigger=past)
        store.begin(run, [])
        if state != "running":
            store.end(run.run_id, RunState(state), after(number))
    assert store.last_end(KEY, [RunState.SUCCESS]).run_id == "r0"
    found = store.last_end(KEY, [RunState.SUCCESS, RunState.FAILED])
    assert (found.run_id, found.at, found.state) == ("r1", after(1), "failed")
    assert store.last_end(ScheduleKey("daily", "prod"), [RunState.SUCCESS]) is None
    assert seen_by(store, project_id="acme/other").last_end(KEY, [RunState.SUCCESS]) is None


def test_the_last_update_of_a_node_is_a_success_of_any_pipeline(store):
    node = Node(id="model.shop.orders", kind=Kind.MODEL, name="orders")
    for number, state in enumerate([State.SUCCESS, State.FAILED]):
        run = a_run(f"r{number}", pipeline=f"p{number}", target="dev")
        store.begin(run, [node])
        outcome = Outcome(state=state)
        store.record(run.run_id, an_attempt(node.id, outcome, start=10 * number + 1))
    found = store.last_update("dev", node.id)
    assert (found.run_id, found.at) == ("r0", after(2))
    assert store.last_update("dev", "model.shop.other") is None
