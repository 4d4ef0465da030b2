"""Which interval a run stands for, also when the clocks change."""

import functools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbtorch.adapters.cron import Ticks, interval
from dbtorch.core.model.interval import Interval, NoInterval, covered_until, until_now
from dbtorch.core.schedule.schedule import Schedule

CASES = json.loads(Path(__file__).with_name("intervals.json").read_text())

MINUTE = timedelta(minutes=1)

#: Both changes of the clock in zones that differ: an hour, half an hour, at midnight.
CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("America/Santiago", "2026-04-05T03:00"),
    ("America/Santiago", "2026-09-06T04:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Pacific/Apia", "2011-12-30T10:00"),  # a day that never was
]

MINUTES = ["0", "30", "15,45", "*", "*/15", "5-50/15"]
HOURS = ["0", "1", "2", "3", "0-4", "*", "*/2", "23"]


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['cron']} {case['at']}")
def test_what_a_run_stands_for_when_the_clocks_change(case):
    schedule = Schedule(crons=(case["cron"],), timezone=case["timezone"])
    at, start, end = (datetime.fromisoformat(case[name]) for name in ("at", "start", "end"))
    assert interval(schedule, None, at) == Interval(start, end)
    assert interval(schedule, start, at) == Interval(start, end)
    assert interval(schedule, end - MINUTE, at) == Interval(start, end)
    assert Interval(start, end).logical_date == start


@pytest.mark.parametrize(
    ("cron", "now", "start", "end"),
    [
        ("0 6 * * *", "2026-11-02T06:00", "2026-11-01T06:00", "2026-11-02T06:00"),  # on a tick
        ("0 6 * * *", "2026-11-02T05:59", "2026-10-31T06:00", "2026-11-01T06:00"),
        ("0 6 * * *", "2026-11-02T19:48", "2026-11-01T06:00", "2026-11-02T06:00"),
        ("@hourly", "2026-11-02T19:48", "2026-11-02T18:00", "2026-11-02T19:00"),
        ("0 0 * * 1", "2026-11-21T10:00", "2026-11-09T00:00", "2026-11-16T00:00"),  # weekly
        ("0 0 29 2 *", "2026-11-21T10:00", "2020-02-29T00:00", "2024-02-29T00:00"),
    ],
)
def test_a_run_stands_for_the_last_interval_that_is_complete(cron, now, start, end):
    found = interval(Schedule(crons=(cron,), timezone="UTC"), None, utc(now))
    assert found == Interval(utc(start), utc(end))


@settings(deadline=None)
@given(
    change=st.sampled_from(CHANGES),
    minute=st.sampled_from(MINUTES),
    hour=st.sampled_from(HOURS),
    seconds=st.integers(-2 * 86_400, 2 * 86_400),
)
@example(CHANGES[0], "*/15", "2", -1).via("a wildcard in the gap")
@example(CHANGES[1], "30", "2", 0).via("a fixed time that comes twice")
def test_intervals_adjoin_and_are_never_empty(change, minute, hour, seconds):
    zone, changed = change
    schedule = Schedule(crons=(f"{minute} {hour} * * *",), timezone=zone)
    now = utc(changed) + timedelta(seconds=seconds)
    last = interval(schedule, None, now)
    following = interval(schedule, last.end, now)
    assert last.start < last.end <= now < following.end
    assert following.start == last.end
    assert interval(schedule, last.start, now) == last
    assert interval(schedule, last.end - timedelta(microseconds=1), now) == last


@settings(deadline=None)
@given(
    change=st.sampled_from(CHANGES),
    minute=st.sampled_from(MINUTES),
    hour=st.sampled_from(HOURS),
    minutes=st.integers(-300, 300),
)
def test_ticks_are_what_somebody_sees_who_looks_at_the_clock(change, minute, hour, minutes):
    zone, changed = change
    schedule = Schedule(crons=(f"{minute} {hour} * * *",), timezone=zone)
    at = utc(changed) + minutes * MINUTE
    expected = seen(schedule, changed)
    assert Ticks(schedule).at_or_before(at) == max(one for one in expected if one <= at)
    assert Ticks(schedule).after(at) == min(one for one in expected if one > at)


def seen(schedule, change):
    """What a cron daemon does that looks at the clock once a minute, in two days and more around."""
    minute, hour, *_ = schedule.crons[0].split()
    wild = minute.startswith("*") or hour.startswith("*")
    minutes = {one for one in range(60) if named(minute, one, 60)}
    hours = {one for one in range(24) if named(hour, one, 24)}
    return [
        at
        for at, walls in fresh(schedule.timezone, change, wild)
        if any(wall_hour in hours and wall_minute in minutes for wall_hour, wall_minute in walls)
    ]


@functools.cache
def fresh(zone, change, wild):
    """Every minute, and hours and minutes that a clock shows then, or leaps over, and has not yet."""
    found, looked_at, shown = [], set(), None
    for number in range(-55 * 60, 55 * 60):
        at = utc(change) + number * MINUTE
        before, shown = shown, at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        skipped = 0 if before is None or wild else max(0, int((shown - before) / MINUTE) - 1)
        walls = [shown - back * MINUTE for back in range(skipped + 1)]
        news = [wall for wall in walls if wild or wall not in looked_at]
        looked_at.update(walls)
        found.append((at, [(wall.hour, wall.minute) for wall in news]))
    return found


def named(field, value, size):
    for part in field.split(","):
        names, _, step = part.partition("/")
        low, _, high = names.replace("*", f"0-{size - 1}").partition("-")
        if value in range(int(low), int(high or low) + 1, int(step or 1)):
            return True
    return False


@pytest.mark.parametrize("cron", ["0 6 * * *", "0 0 29 2 *", "0 0 1 1 *"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("year", [1, 9999])
def test_where_the_calendar_ends_there_is_no_interval(cron, zone, year):
    at = datetime(year, 1 if year == 1 else 12, 1 if year == 1 else 31, tzinfo=UTC)
    with pytest.raises(NoInterval, match="has no interval at"):
        interval(Schedule(crons=(cron,), timezone=zone), at, at)
        interval(Schedule(crons=(cron,), timezone=zone), None, at)


def test_without_a_schedule_a_run_stands_for_the_time_up_to_now():
    first = until_now(None, utc("2026-11-21T10:00:00.5"))
    assert first == Interval(None, utc("2026-11-21T10:00"))
    assert first.logical_date == utc("2026-11-21T10:00")
    second = until_now(first.end, utc("2026-11-21T10:00:00.9"))  # within the same second
    assert second == Interval(first.end, utc("2026-11-21T10:00:00.9"))
    assert second.logical_date == first.end


def test_without_a_schedule_an_interval_cannot_begin_in_the_future():
    with pytest.raises(NoInterval, match=r"10:00:00 UTC, and its .* at 2027-01-01 00:00:00 UTC"):
        until_now(utc("2027-01-01T00:00"), utc("2026-11-21T10:00"))


@pytest.mark.parametrize(
    ("done", "until"),
    [
        ([], None),
        ([(None, 5)], 5),
        ([(None, 5), (5, 7), (7, 9)], 9),
        ([(None, 5), (7, 9)], 5),  # --logical-date 7: what lies before is still to be loaded
        ([(None, 5), (7, 9), (5, 10)], 10),
        ([(None, 5), (7, 9), (5, 7)], 9),  # the gap was filled later
        ([(None, 5), (2, 3)], 5),  # what has been loaded again
        ([(3, 5), (5, 6), (1, 2)], 6),  # something of long ago, by itself
        ([(3, 5), (1, 4)], 5),
    ],
)
def test_a_run_up_to_now_begins_where_the_time_ends_that_is_covered(done, until):
    def at(day):
        return None if day is None else datetime(2026, 3, day, tzinfo=UTC)

    assert covered_until([Interval(at(begin), at(end)) for begin, end in done]) == at(until)
