"""What schedulers of others got wrong, a sentence each, shown not to happen here.

Sentences about backfills are shown where backfills are tested.
"""

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from dbtorch.adapters.cron import Ticks, interval
from dbtorch.adapters.store import open_store
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.ledger import SkipReason, TickState
from dbtorch.core.schedule.rules import Catchup, Overlap
from dbtorch.core.schedule.schedule import Schedule
from tests.stores import NOON
from tests.unit.serving import HOURLY, SHOP
from tests.unit.simulated import Simulated

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVERY_MINUTE = "* * * * *"


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ticks(cron, zone, start, end):
    return list(Ticks(Schedule(crons=(cron,), timezone=zone)).between(utc(start), utc(end)))


def local(found, zone):
    return [f"{one.astimezone(ZoneInfo(zone)):%m-%d %H:%M}" for one in found]


def test_01_a_wildcard_keeps_its_pace_through_the_hour_that_comes_twice():
    """`*/5 * * * *` in Zurich gives a tick every 300 s of real time through the autumn hour."""
    found = ticks("*/5 * * * *", "Europe/Zurich", "2026-10-24T22:00", "2026-10-25T04:00")
    assert {b - a for a, b in pairwise(found)} == {timedelta(seconds=300)}
    assert len(found) == 72


def test_02_no_day_is_left_out_around_a_change():
    """A daily schedule never skips a whole day around a change."""
    for hour in (0, 1, 2, 3, 12):
        for zone, at in (
            ("Europe/Berlin", "2026-10-25"),
            ("Europe/Berlin", "2026-03-29"),
            ("America/Santiago", "2026-09-06"),
            ("Australia/Lord_Howe", "2026-10-04"),
        ):
            day = utc(at)
            found = list(
                Ticks(Schedule(crons=(f"30 {hour} * * *",), timezone=zone)).between(
                    day - 5 * DAY, day + 5 * DAY
                )
            )
            days = [one.astimezone(ZoneInfo(zone)).date() for one in found]
            assert {b - a for a, b in pairwise(days)} == {DAY}


@pytest.mark.parametrize("cron", [EVERY_MINUTE, "30 2 * * *", "0 * * * *", "15,45 1-3 * * *"])
def test_03_what_comes_next_is_later(cron):
    """`next(after)` is strictly later than `after`, in both passes and before the gap."""
    asked = Ticks(Schedule(crons=(cron,), timezone="Europe/Berlin"))
    for begin in (utc("2026-10-24T23:50"), utc("2026-03-29T00:50")):
        for seconds in range(0, 3 * 3600, 293):
            at = begin + timedelta(seconds=seconds)
            assert at < asked.after(at) <= at + DAY + 2 * HOUR


@pytest.mark.parametrize("cron", ["*/15 * * * *", "30 2 * * *", "0 * * * *", "0 0 * * *"])
def test_04_no_window_is_empty_or_runs_backwards_by_hand_as_well(cron):
    """A window never has zero or negative length, also for a run by hand on the day itself."""
    for zone, day in (
        ("Europe/Berlin", "2026-10-25"),
        ("Europe/Berlin", "2026-03-29"),
        ("America/Santiago", "2026-09-06"),
    ):
        schedule = Schedule(crons=(cron,), timezone=zone)
        for minutes in range(-120, 26 * 60, 97):
            at = utc(day) + minutes * MINUTE
            by_hand, last = interval(schedule, at, at), interval(schedule, None, at)
            assert by_hand.start <= at < by_hand.end
            assert last.start < last.end <= at
            assert last.end == by_hand.start


@pytest.mark.parametrize("cron", ["0 7-8 * * *", "15 7,8,13,19 * * *"])
def test_05_hours_stay_as_the_clock_shows_them_for_good(cron):
    """They keep their hour on the first day after a change, and go on firing."""
    hours = [7, 8] if "-" in cron else [7, 8, 13, 19]
    found = ticks(cron, "America/New_York", "2026-03-01T05:00", "2026-12-01T05:00")
    shown = [one.astimezone(ZoneInfo("America/New_York")).hour for one in found]
    assert shown == hours * 275


def test_06_one_bad_schedule_stops_no_other(serving, tmp_path):
    """A schedule cannot crash the loop of the others."""
    bad = Schedule(crons=("0 * * * *",), except_=(str(tmp_path / "gone.ics"),))
    one = serving(pipelines={"bad": bad, "good": HOURLY})
    for _ in range(3):
        one.turn(HOUR)
        assert one.run() == ["good"]
    (line,) = one.events("pipeline_broken")
    assert line["pipeline"] == "bad"
    assert "gone.ics, which a schedule excepts, cannot be read" in line["message"]
    (tmp_path / "gone.ics").write_text("2026-12-25\n")
    one.serve({"bad": bad, "good": HOURLY})  # dbtorch.yml was read again
    one.turn()
    one.turn(HOUR)
    assert one.run() == ["bad", "good"]


def test_07_reading_the_configuration_again_loses_no_tick(serving):
    """Re-reading the configuration every second does not lose a tick."""
    every = Schedule(every=10, catchup=Catchup.ALL, overlap=Overlap.QUEUE_ALL)
    one = serving(pipelines={"often": every})
    for _ in range(60):
        one.serve({"often": every})
        one.turn(timedelta(seconds=1))
        one.run()
    assert [tick.state for tick in one.ticks()] == [TickState.DONE] * 6
    assert {b.scheduled_for - a.scheduled_for for a, b in pairwise(one.ticks()[::-1])} == {
        timedelta(seconds=10)
    }


def test_08_a_clock_that_is_set_makes_no_run_twice():
    """Runs before a clock change do not come again under a new UTC time after it."""
    pipelines = {
        cron: PipelineSpec(
            name=cron, target="dev", schedule=Schedule(crons=(cron,), timezone="Europe/Berlin")
        )
        for cron in ("0 6 * * *", "30 2 * * *", "0 0 * * *", "30 1,2,3 * * *")
    }
    days = Simulated(Config(pipelines=pipelines), schedulers=2)
    days.now = utc("2026-10-22T00:00")
    days.until(utc("2026-10-29T00:00"))
    shown = {}
    for (name, at), times in days.begun.items():
        assert times == 1
        shown.setdefault(name, []).append(f"{at.astimezone(ZoneInfo('Europe/Berlin')):%d %H:%M}")
    assert all(len(set(one)) == len(one) for one in shown.values())  # by the clock as well
    assert len(shown["0 6 * * *"]) == 7


@pytest.mark.parametrize("restarts", [False, True])
def test_08_a_zone_that_is_changed_runs_no_day_twice(serving, restarts):
    """06:00 in New York comes later on a day that 06:00 UTC of has run."""
    one = serving(pipelines={"daily": Schedule(crons=("0 6 * * *",))})
    one.turn(18 * HOUR)  # 06:30
    assert one.run() == ["daily"]
    changed = {"daily": Schedule(crons=("0 6 * * *",), timezone="America/New_York")}
    one.now += 5 * HOUR  # 11:30, and there it is 07:30
    after = one
    if restarts:
        after = serving(store=one.store, pipelines=changed, begun=False)
    after.serve(changed)
    after.turn()
    assert after.run() == []
    one.now += 24 * HOUR
    after.turn()
    assert after.run() == ["daily"]
    assert len(one.ticks()) == 2


def test_09_two_schedulers_on_one_store_start_one_run_for_a_tick(serving, tmp_path):
    """It is a unique key and a compare-and-set, not reading and then writing."""
    store = open_store(f"sqlite:///{tmp_path}/h.db", tmp_path, identity=SHOP)
    every = {"often": Schedule(every=1, catchup=Catchup.ALL, overlap=Overlap.QUEUE_ALL)}
    two = [serving(store=store.apart(), pipelines=every, max_runs=1) for _ in range(2)]
    wait = threading.Event()
    while len(store.ticks(limit=9)) < 3:
        threads = [threading.Thread(target=one.scheduler.turn) for one in two]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait.wait(0.05)  # time is the database's
    tokens = [child.token for one in two for child in one.scheduler.children.values()]
    claimed = [tick.token for _, tick in store.ticks() if tick.token]
    assert tokens == claimed
    assert len(tokens) == 1
    for one in two:
        one.store.close()
    store.close()


@pytest.mark.parametrize(
    ("catchup", "runs"), [(Catchup.LATEST, 1), (Catchup.NONE, 0), (Catchup.ALL, 40)]
)
def test_10_after_three_hours_what_runs_is_what_the_rule_says_and_one_at_a_time(
    serving, catchup, runs
):
    """`latest` runs once, `none` zero times, `all` at most `max_catchup`, one after the other."""
    schedule = Schedule(crons=(EVERY_MINUTE,), catchup=catchup, max_catchup=40)
    one = serving(pipelines={"p": schedule})
    one.turn(3 * HOUR)
    done = 0
    while one.run():
        done += 1
        assert len(one.scheduler.children) == 0
        one.turn()
        assert len(one.scheduler.children) <= 1
    on_time = catchup is not Catchup.LATEST  # 15:30 is of this minute, and newer than all missed
    assert done == runs + int(on_time)
    reasons = [tick.reason for _, tick in one.store.ticks(limit=999) if tick.reason]
    assert reasons == [SkipReason.TOO_LATE] * (180 - done)


@pytest.mark.parametrize("reason", [SkipReason.OVERLAP, SkipReason.TOO_LATE, SkipReason.PAUSED])
def test_11_a_skipped_tick_leaves_a_record_with_its_reason(serving, reason):
    """Overlap, too late, paused."""
    schedule = Schedule(
        crons=("0 * * * *",),
        overlap=Overlap.SKIP,
        catchup=Catchup.NONE,
        paused=reason is SkipReason.PAUSED,
    )
    one = serving(pipelines={"p": schedule})
    if reason is SkipReason.OVERLAP:
        one.turn(HOUR / 2)
        (child,) = one.scheduler.children.values()
        one.begin(child, "r1")
    one.turn(HOUR if reason is SkipReason.OVERLAP else HOUR / 2 + 2 * MINUTE)
    assert one.ticks()[0].reason is reason
    (line,) = one.events("tick_skipped")
    assert line["reason"] == reason
    assert one.store.skipped() == {("p", reason.value): 1}


def test_12_a_backlog_delays_no_other_pipeline_and_moves_while_others_run(serving):
    """A run of many days takes turns with the others, also where there is one place for all."""
    backlog = Schedule(
        crons=(EVERY_MINUTE,),
        start_date=NOON - 4 * HOUR,
        catchup=Catchup.ALL,
        max_catchup=1000,
    )
    others = {f"p{number}": HOURLY for number in range(3)}
    one = serving(pipelines={"backlog": backlog, **others}, max_runs=1)
    one.turn(HOUR / 2)
    order = []
    for _ in range(24):
        order += one.run()
        one.turn(timedelta(seconds=1))
    assert sorted(order[:5])[:1] == ["backlog"]
    assert set(order[:5]) == {"backlog", *others}  # each other one within a turn or two
    assert order.count("backlog") == 21
    one.now += HOUR
    for _ in range(6):
        one.turn(timedelta(seconds=1))
        order += one.run()
    assert set(order[-5:]) == {"backlog", *others}


def test_13_what_is_caught_up_with_goes_on_as_soon_as_there_is_a_place(serving):
    """The next starts when one place is free, not when all that was started is done."""
    missed = Schedule(crons=("0 * * * *",), start_date=NOON - 5 * HOUR, catchup=Catchup.ALL)
    one = serving(pipelines=dict.fromkeys("abc", missed), max_runs=2)
    first, second = one.scheduler.children.values()
    lease = one.begin(first, "r1")
    one.begin(second, "r2")
    one.store.release(lease)
    one.store.end("r1", RunState.SUCCESS, one.now)
    first.kill()
    one.end()
    one.turn()
    assert len(one.scheduler.children) == 2
    assert second in one.scheduler.children.values()


def test_14_what_waits_starts_when_the_run_before_has_ended_without_reading_anything(serving):
    """A run that was held back starts when the other ends."""
    one = serving()
    one.turn(HOUR / 2)
    (first,) = one.scheduler.children.values()
    lease = one.begin(first, "r1")
    one.turn(HOUR)
    assert list(one.scheduler.children.values()) == [first]
    one.store.end("r1", RunState.SUCCESS, one.now)
    one.store.release(lease)
    first.kill()
    one.end()
    one.turn()
    (second,) = one.scheduler.children.values()
    assert second.tick.scheduled_for == first.tick.scheduled_for + HOUR


def test_15_half_an_hour_in_lord_howe():
    """`45 1 * * *` fires once where it comes twice, `15 2 * * *` at 02:30 where it never comes."""
    zone = "Australia/Lord_Howe"
    twice = ticks("45 1 * * *", zone, "2026-04-03T12:00", "2026-04-06T12:00")
    assert local(twice, zone) == ["04-04 01:45", "04-05 01:45", "04-06 01:45"]
    never = ticks("15 2 * * *", zone, "2026-10-02T12:00", "2026-10-05T12:00")
    assert local(never, zone) == ["10-03 02:15", "10-04 02:30", "10-05 02:15"]


@pytest.mark.parametrize("catchup", [Catchup.LATEST, Catchup.ALL])
def test_also_a_changed_rule_launches_no_history(serving, catchup):
    """A daily pipeline that is made hourly does not run the hours that have passed."""
    daily = Schedule(crons=("0 6 * * *",), catchup=catchup)
    one = serving(pipelines={"p": daily})
    one.turn(18 * HOUR)
    assert one.run() == ["p"]
    one.now += 11 * HOUR + HOUR / 2
    one.serve({"p": Schedule(crons=("30 * * * *",), catchup=catchup)})
    one.turn()
    assert one.run() == []
    one.turn(HOUR)
    assert one.run() == ["p"]
    assert len(one.ticks()) == 2
