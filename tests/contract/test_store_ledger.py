"""What every store promises about the ticks of schedules."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.core.errors import TickLost
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.ledger import (
    MOST_WAITING,
    Pause,
    ScheduleChange,
    ScheduleKey,
    SkipReason,
    TickRecord,
    TickState,
)
from tests.stores import NOON, a_lease, a_run, after, let_pass, seen_by

DAILY = ScheduleKey("daily", "dev (duckdb x)")
HOURLY = ScheduleKey("hourly", "dev (duckdb x)")


def a_tick(hours=0, **given):
    at = NOON + timedelta(hours=hours)
    interval = Interval(at - timedelta(hours=1), at)
    return TickRecord(scheduled_for=at, interval=interval, due_at=at, **given)


def a_change(*ticks, key=DAILY, version=0, watermark=NOON, checksum="a1"):
    return ScheduleChange(
        key=key, version=version, watermark=watermark, checksum=checksum, ticks=ticks
    )


def claimed(**given):
    return a_tick(token="t1", server="serve/s1", claims=1, claimed_at=after(1), **given)


def the(store, key=DAILY):
    return store.ledger().schedules[key]


def test_nothing_is_known_of_a_new_project(store):
    assert not store.ledger().schedules
    assert store.ticks() == []


def test_what_was_decided_is_kept_as_it_is(store):
    tick = claimed(backlog=True)
    assert store.decide([a_change(tick)]) == {DAILY}
    assert (the(store).watermark, the(store).checksum) == (NOON, "a1")
    assert the(store).ticks == (tick,)
    assert store.ticks() == [(DAILY, tick)]


def test_of_two_that_have_looked_at_the_same_one_decides(store):
    assert store.decide([a_change(a_tick(1), version=0)]) == {DAILY}
    assert store.decide([a_change(a_tick(2), version=0)]) == frozenset()
    version = the(store).version
    assert store.decide([a_change(version=version, checksum="b2")]) == {DAILY}
    version = the(store).version
    assert the(store).checksum == "b2"
    both = [a_change(a_tick(2), version=version), a_change(a_tick(3), key=HOURLY, version=7)]
    assert store.decide(both) == {DAILY}  # what else was decided is nobody's concern
    assert [tick.scheduled_for.hour for tick in the(store).ticks] == [13, 14]


def test_many_at_once_decide_once(store):
    """Each of eight threads claims the tick that all of them have seen."""
    store.decide([a_change(a_tick())])
    version, winners = the(store).version, []

    def claim(number):
        mine = store.apart()
        tick = a_tick(token=f"t{number}", claims=1)
        winners.extend([number] * len(mine.decide([a_change(tick, version=version)])))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert the(store).ticks[0].token == f"t{winners[0]}"


def test_only_open_ticks_are_looked_at_the_oldest_first(store):
    skipped = a_tick(1, state=TickState.SKIPPED, reason=SkipReason.OVERLAP)
    done = a_tick(2, state=TickState.DONE, ended_at=after(9))
    store.decide([a_change(a_tick(3), skipped, done, a_tick(0))])
    assert [tick.scheduled_for.hour for tick in the(store).ticks] == [12, 15]
    assert [tick.scheduled_for.hour for _, tick in store.ticks()] == [15, 14, 13, 12]
    assert [tick.scheduled_for.hour for _, tick in store.ticks(limit=1)] == [15]
    assert len(store.ticks(since=after(3600))) == 3
    assert store.ticks("hourly") == []
    assert store.skipped() == {("daily", "overlap"): 1}


def test_of_thousands_that_wait_only_those_are_looked_at_that_may_be_next(store):
    """Each turn of a scheduler looks at them."""
    many = MOST_WAITING + 5
    backlog = [a_tick(-number, backlog=True) for number in range(1, many)]
    begun = a_tick(many, token="t1", server="s", claims=1, run_id="r1", state=TickState.STARTED)
    again = a_tick(many + 1, run_id="r2")
    waiting = [a_tick(number) for number in range(many)]
    store.decide([a_change(*backlog, *waiting, begun, again)])
    store.decide([a_change(a_tick(1), key=HOURLY)])
    view = store.ledger()
    found = view.schedules[DAILY].ticks
    oldest = sorted(backlog, key=lambda tick: tick.scheduled_for)[:MOST_WAITING]
    assert found == (*oldest, *waiting[:MOST_WAITING], begun, again)
    assert view.schedules[HOURLY].ticks == (a_tick(1),)
    assert view.queued == len(backlog) + len(waiting) + 2


def test_a_run_starts_its_tick_in_the_same_commit(store):
    store.decide([a_change(claimed())])
    version = the(store).version
    store.begin(a_run(), [], tick="t1")
    (tick,) = the(store).ticks
    assert (tick.state, tick.run_id) == (TickState.STARTED, "r1")
    assert tick.started_at is not None
    assert the(store).version > version  # whoever looked before looks again
    store.begin(a_run(), [], tick="t1")  # planned again


@pytest.mark.parametrize("state", [TickState.STARTED, TickState.DONE, TickState.SKIPPED])
def test_a_tick_that_is_not_queued_starts_no_run(store, state):
    store.decide([a_change(claimed(state=state, run_id="r0"))])
    with pytest.raises(TickLost, match="nothing was run"):
        store.begin(a_run(), [], tick="t1")
    assert store.run("r1") is None


def test_who_has_lost_the_claim_runs_nothing(store):
    store.decide([a_change(claimed())])
    again = replace(claimed(), token="t2")
    store.decide([a_change(again, version=the(store).version)])
    with pytest.raises(TickLost):
        store.begin(a_run(), [], tick="t1")
    assert store.run("r1") is None
    store.begin(a_run("r2"), [], tick="t2")
    assert the(store).ticks[0].run_id == "r2"


def test_the_token_of_another_project_starts_nothing(store):
    store.decide([a_change(claimed())])
    with pytest.raises(TickLost):
        seen_by(store, project_id="acme/other").begin(a_run(), [], tick="t1")
    assert not seen_by(store, project_id="acme/other").ledger().schedules


def test_a_tick_is_done_when_its_run_has_ended(store):
    store.decide([a_change(claimed())])
    store.begin(a_run(), [], tick="t1")
    store.end("r1", RunState.CANCELLED, after(9))
    assert the(store).ticks == ()
    ((_, tick),) = store.ticks()
    assert (tick.state, tick.ended_at) == (TickState.DONE, after(9))


def test_how_runs_of_ticks_stand_is_known_until_they_are_pruned(store):
    store.decide([a_change(claimed(), a_tick(1, token="t2"))])
    store.begin(a_run(), [], tick="t1")
    store.begin(a_run("r2"), [], tick="t2")
    store.begin(a_run("by_hand"), [])
    store.end("r1", RunState.FAILED, after(9))
    assert store.outcomes(since=NOON) == {"r1": RunState.FAILED, "r2": RunState.RUNNING}
    assert store.outcomes(since=NOON + timedelta(hours=1)) == {"r2": RunState.RUNNING}
    assert seen_by(store, project_id="acme/other").outcomes(since=NOON) == {}


@pytest.mark.parametrize(
    ("state", "open"), [(RunState.CANCELLED, 1), (RunState.SUCCESS, 0), (RunState.FAILED, 0)]
)
def test_a_tick_that_was_given_back_is_gone_on_with_unless_its_run_ended_by_itself(
    store, state, open
):
    store.decide([a_change(claimed())])
    store.begin(a_run(), [], tick="t1")
    back = replace(the(store).ticks[0], state=TickState.QUEUED, token="", server="")
    store.decide([a_change(back, version=the(store).version)])
    store.end("r1", state, after(9))
    assert len(the(store).ticks) == open
    with pytest.raises(TickLost):
        store.begin(a_run(), [], tick="t1")


def test_a_pause_says_who_and_why(store):
    pause = Pause(at=NOON, by="ana@laptop", reason="the warehouse moves")
    assert store.pause(DAILY, pause) is None
    assert (the(store).pause, the(store).watermark) == (pause, None)
    assert store.decide([a_change(version=the(store).version)]) == {DAILY}
    assert (the(store).pause, the(store).watermark) == (pause, NOON)
    version = the(store).version
    assert store.pause(DAILY, None) == pause
    assert the(store).pause is None
    assert store.decide([a_change(version=version)]) == frozenset()


def test_leases_that_are_held_are_seen_with_the_clock_that_they_are_over_by(store):
    store.acquire(a_lease())
    view = store.ledger()
    assert list(view.leases) == ["shop/default"]
    assert view.drives("r1")
    assert not view.drives("r2")
    let_pass(store, 61)
    assert not store.ledger().leases
