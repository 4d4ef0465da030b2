"""What becomes of ticks: missed, overlapping, paused, blacked out, left behind."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.history.records import Lease
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.decide import MOST_CLAIMS, claimed, decide, given_back
from dbtorch.core.schedule.ledger import (
    LedgerView,
    Pause,
    ScheduleKey,
    ScheduleRecord,
    SkipReason,
    TickRecord,
    TickState,
)
from dbtorch.core.schedule.rules import Catchup, DueTick, Overlap, Rules

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY = ScheduleKey("daily", "dev")
HOUR = timedelta(hours=1)


def due(*hours, **given):
    at = [NOON + hour * HOUR for hour in hours]
    return [
        DueTick(scheduled_for=one, interval=Interval(one - HOUR, one), due_at=one, **given)
        for one in at
    ]


def tick(hour=0, **given):
    (one,) = due(hour)
    return TickRecord(
        scheduled_for=one.scheduled_for, interval=one.interval, due_at=one.due_at, **given
    )


def started(hour=0, run_id="r1"):
    return tick(hour, state=TickState.STARTED, run_id=run_id, token="t", server="s1", claims=1)


def lease(name, run_id):
    return Lease(
        name=name, run_id=run_id, host="h", pid=1, acquired_at=NOON, expires_at=NOON + HOUR
    )


def decided(rules, new=(), old=(), now=None, runs=("r1",), servers=("s1",), **given):
    """The decision, and what is open in the end with what was skipped, by hour."""
    leases = [lease(f"pipeline {run_id}", run_id) for run_id in runs]
    leases += [lease(name, name) for name in servers]
    now = now or (new[-1].due_at if new else NOON)
    record = ScheduleRecord(key=KEY, version=1, watermark=NOON, ticks=tuple(old), **given)
    view = LedgerView(now=now, leases={one.name: one for one in leases})
    found = decide(rules, record, new, view, watermark=now)
    return found, {one.scheduled_for.hour - 12: one.reason or one.state for one in found.ticks}


def hours(ticks):
    return [one.scheduled_for.hour - 12 for one in ticks]


def test_a_tick_that_is_on_time_is_ready():
    found, states = decided(Rules(), due(1))
    assert states == {1: TickState.QUEUED}
    assert hours(found.ready) == [1]


@pytest.mark.parametrize(
    ("catchup", "runs"),
    [(Catchup.NONE, []), (Catchup.LATEST, [3]), (Catchup.ALL, [1, 2, 3])],
)
def test_what_was_missed_is_caught_up_with_as_the_rules_say(catchup, runs):
    rules = Rules(catchup=catchup, overlap=Overlap.QUEUE_ONE)
    found, states = decided(rules, due(1, 2, 3), now=NOON + 3.5 * HOUR)
    assert [hour for hour, state in states.items() if state is TickState.QUEUED] == runs
    assert {states[hour] for hour in (1, 2, 3) if hour not in runs} <= {SkipReason.TOO_LATE}
    assert hours(found.ready) == runs[:1]  # never more at once than may be


def test_one_that_is_on_time_is_newer_than_all_that_were_missed():
    _, states = decided(Rules(), due(1, 2, 3), now=NOON + 3 * HOUR)
    assert states == {1: SkipReason.TOO_LATE, 2: SkipReason.TOO_LATE, 3: TickState.QUEUED}


def test_catching_up_is_bounded_by_a_window_and_a_number():
    late = NOON + 9.5 * HOUR
    rules = Rules(catchup=Catchup.ALL, max_catchup=2)
    _, states = decided(rules, due(*range(1, 10)), now=late)
    assert [hour for hour, state in states.items() if state is TickState.QUEUED] == [8, 9]
    rules = Rules(catchup=Catchup.ALL, catchup_window=4 * HOUR)
    _, states = decided(rules, due(*range(1, 10)), now=late)
    assert [hour for hour, state in states.items() if state is TickState.QUEUED] == [6, 7, 8, 9]
    rules = Rules(catchup_window=HOUR / 3)
    _, states = decided(rules, due(*range(1, 10)), now=late)
    assert set(states.values()) == {SkipReason.TOO_LATE}


def test_a_backlog_gives_way_to_nothing():
    backlog = [tick(hour, backlog=True) for hour in (1, 2)]
    _, states = decided(Rules(catchup=Catchup.ALL), due(3), old=backlog)
    assert states == {3: TickState.QUEUED}
    skip = Rules(catchup=Catchup.ALL, overlap=Overlap.SKIP)
    _, states = decided(skip, due(1, 2, 3), now=NOON + 3.5 * HOUR)
    assert set(states.values()) == {TickState.QUEUED}


@pytest.mark.parametrize(
    ("overlap", "states", "cancelled"),
    [
        (Overlap.SKIP, {2: SkipReason.OVERLAP}, ()),
        (Overlap.QUEUE_ONE, {1: SkipReason.SUPERSEDED, 2: TickState.QUEUED}, ()),
        (Overlap.QUEUE_ALL, {2: TickState.QUEUED}, ()),
        (Overlap.CANCEL_RUNNING, {1: SkipReason.SUPERSEDED, 2: TickState.QUEUED}, ("r1",)),
    ],
)
def test_runs_that_meet(overlap, states, cancelled):
    found, said = decided(Rules(overlap=overlap), due(2), old=[started(0), tick(1)])
    assert said == states
    assert found.ready == ()
    assert found.cancel == cancelled


def test_what_waits_starts_when_the_run_before_has_ended():
    assert hours(decided(Rules(), old=[tick(1)], now=NOON + HOUR)[0].ready) == [1]


def test_a_run_by_hand_counts_as_one():
    record = ScheduleRecord(key=KEY, version=1, watermark=NOON, ticks=(tick(0),))
    view = LedgerView(now=NOON, leases={"x/daily/dev": lease("x/daily/dev", "by hand")})
    assert decide(Rules(), record, (), view, watermark=NOON, lease="x/daily/dev").ready == ()


def test_nothing_is_ready_before_its_jitter_is_over():
    early = replace(tick(0), due_at=NOON + HOUR)
    assert decided(Rules(), old=[early])[0].ready == ()
    assert hours(decided(Rules(), old=[early], now=NOON + HOUR)[0].ready) == [0]


@pytest.mark.parametrize(
    ("rules", "given"),
    [(Rules(paused=True), {}), (Rules(), {"pause": Pause(at=NOON, by="ana@laptop")})],
)
def test_a_paused_pipeline_starts_nothing_and_says_so(rules, given):
    found, states = decided(rules, due(1), old=[tick(0)], **given)
    assert states == {1: SkipReason.PAUSED}
    assert found.ready == ()


def test_a_blackout_says_so():
    _, states = decided(Rules(), due(1, blackout=True))
    assert states == {1: SkipReason.BLACKOUT}
    record = ScheduleRecord(key=KEY, version=1, watermark=NOON, ticks=(tick(0),))
    view = LedgerView(now=NOON)
    assert decide(Rules(), record, (), view, watermark=NOON, blackout=True).ready == ()


def test_what_a_scheduler_that_died_had_claimed_is_free():
    mine = claimed(tick(0), token="t1", server="s1", now=NOON)
    found, states = decided(Rules(), old=[mine], runs=())
    assert (found.ready, states) == ((), {})  # it lives
    found, states = decided(Rules(), old=[mine], runs=(), servers=())
    assert states == {0: TickState.QUEUED}
    assert [one.token for one in found.ready] == [""]


def test_a_run_whose_supervisor_died_is_gone_on_with():
    found, states = decided(Rules(), old=[started(0)], runs=())
    assert states == {0: TickState.QUEUED}
    assert [(one.run_id, one.token) for one in found.ready] == [("r1", "")]
    found, _ = decided(Rules(), old=[started(0)], servers=())  # the run goes on without it
    assert (found.ready, found.ticks) == ((), ())


def test_what_was_begun_goes_on_first_and_is_superseded_by_nothing():
    begun = given_back(started(0))
    found, states = decided(Rules(), due(1, 2), old=[begun], now=NOON + 2.5 * HOUR, runs=())
    assert states == {1: SkipReason.TOO_LATE, 2: TickState.QUEUED}
    assert hours(found.ready) == [0]
    found, _ = decided(Rules(), old=[begun])  # it has not ended yet
    assert found.ready == ()


def test_what_kills_its_supervisor_is_not_tried_for_ever():
    again = replace(started(0), claims=MOST_CLAIMS)
    found, states = decided(Rules(), old=[again], runs=())
    assert states == {0: TickState.DONE}
    assert found.ready == ()
    assert f"begun {MOST_CLAIMS} times" in found.ticks[0].note
