"""What leaves a history with its age, and what stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dbtorch.core.alerts.outbox import Entry, EntryKind
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState, State
from dbtorch.core.schedule.backfill import Backfill, BackfillSpec, BackfillState, Part, PartState
from dbtorch.core.schedule.ledger import ScheduleKey
from tests.stores import NOON, a_lease, a_node, a_run, after, an_attempt, seen_by

DAY = 86_400
OVER = BackfillState.DONE


def day(number: float):
    return NOON + timedelta(days=number)


def ran(store, run_id, number, state=RunState.SUCCESS, *, ended=True, **given):
    """A run on a day, which stands for the one before."""
    run = a_run(
        run_id,
        started_at=day(number),
        data_interval_start=day(number - 1),
        data_interval_end=day(number),
        **given,
    )
    store.begin(run, [a_node("model.a")])
    outcome = Outcome(state=State.SUCCESS if state is RunState.SUCCESS else State.FAILED)
    store.record(run_id, an_attempt("model.a", outcome, start=number * DAY + 1))
    if ended:
        store.end(run_id, state, after(number * DAY + 9))


def ids(store):
    return sorted(run.run_id for run in store.runs(limit=100))


def test_what_ended_long_ago_goes_with_everything_of_it(store):
    for number in range(10):
        ran(store, f"r{number}", number)
    note = Entry(
        notifier="slack",
        address="#data",
        key="r0/failed",
        kind=EntryKind.NOTE,
        run_id="r0",
        body={},
    )
    store.alert([note], at=day(0))
    assert store.outlived(day(5)) == ["r0", "r1", "r2", "r3", "r4"]
    assert store.prune(day(5), most=2) == ["r0", "r1"]
    assert store.prune(day(5), most=100) == ["r2", "r3", "r4"]
    assert store.prune(day(5), most=100) == []
    assert ids(store) == ["r5", "r6", "r7", "r8", "r9"]
    assert store.run("r0") is None
    assert store.attempts("r0", "model.a") == []
    assert store.outbox() == []


def test_what_later_runs_build_upon_stays(store):
    """The newest run, the newest success, and the success up to which nothing is missing."""
    ran(store, "first", 0)
    ran(store, "covered", 1)
    ran(store, "beyond", 3)  # the second day was never loaded
    ran(store, "part", 4, partial=True)
    ran(store, "red", 5, RunState.FAILED)
    ran(store, "red-too", 6, RunState.FAILED)
    ran(store, "other", 2, pipeline="weekly")
    before = store.successful_intervals("dev", "default")
    assert store.prune(day(100), most=100) == ["first", "part", "red"]
    assert ids(store) == ["beyond", "covered", "other", "red-too"]
    assert store.successful_intervals("dev", "default") == before[1:]
    assert store.last_success_end("dev", "default", before=day(9)) == day(3)


def test_what_somebody_has_in_hand_stays(store):
    ran(store, "held", 0, ended=False)
    ran(store, "dead", 1, ended=False)
    ran(store, "newest", 2)
    store.acquire(a_lease("held"))
    assert store.prune(day(100), most=100) == ["dead"]


def test_another_project_keeps_its_own(store):
    ran(store, "mine", 0)
    ran(store, "newest", 1)
    other = seen_by(store, project_id="acme/other")
    ran(other, "theirs", 0)
    ran(other, "their-newest", 1)
    assert store.prune(day(100), most=100) == ["mine"]
    assert sorted(run.run_id for run in other.runs(limit=9)) == ["their-newest", "theirs"]


def test_backfills_go_with_their_age_and_what_is_not_over_stays(store):
    start = Interval(NOON - timedelta(days=1), NOON)
    for id, pipeline in (("b1", "daily"), ("b2", "weekly")):
        part = Part(ordinal=0, key="2026-02-28", interval=start)
        key = ScheduleKey(pipeline, "dev")
        store.add_backfill(
            Backfill(id=id, key=key, spec=BackfillSpec(), created_at=NOON, parts=(part,))
        )
    first, _ = store.backfills(parts=True)
    store.decide_backfill(first, [replace(first.parts[0], state=PartState.DONE)], OVER)
    other = seen_by(store, project_id="acme/other")
    other.add_backfill(replace(first, id="b1", state=BackfillState.ACTIVE))
    ended = store.backfills(over=True)[0].ended_at
    store.prune(ended, most=1)
    assert [one.id for one in store.backfills(over=True)] == ["b1", "b2"]
    store.prune(ended + timedelta(microseconds=1), most=1)
    assert [(one.id, len(one.parts)) for one in store.backfills(over=True, parts=True)] == [
        ("b2", 1)
    ]
    # the name is free again, and what others have of the same name is not touched
    store.add_backfill(replace(first, parts=(), counts={}))
    assert [len(one.parts) for one in store.backfills(parts=True)] == [0, 1]
    assert [len(one.parts) for one in other.backfills(parts=True)] == [1]
