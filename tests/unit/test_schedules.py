"""What dbtorch.yml says of a schedule, and when such schedules tick."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.cron import NoTick, Ticks, interval
from dbtorch.adapters.except_dates import dates_in
from dbtorch.core.errors import ConfigError, ProjectError
from dbtorch.core.model.interval import Interval, NoInterval
from dbtorch.core.schedule.blackout import blackout
from dbtorch.core.schedule.jitter import delay
from dbtorch.core.schedule.rules import Catchup, Overlap
from dbtorch.core.schedule.schedule import Schedule

CALENDAR = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261227
SUMMARY:Christ
 mas
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20270101
RRULE:FREQ=YEARLY;UNTIL=20290101T000000Z
END:VEVENT
END:VCALENDAR
"""


MINUTE = timedelta(minutes=1)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def some(schedule, at, count):
    ticks, found = Ticks(schedule), []
    for _ in range(count):
        at = ticks.after(at)
        found.append(at)
    return found


def said(folder, text):
    (folder / "dbtorch.yml").write_text(f"pipelines:\n  p:\n    schedule: {text}\n")
    return load(folder).pipelines["p"].schedule


def test_every_key_of_a_schedule_is_read(tmp_path):
    (tmp_path / "days.txt").write_text("2026-12-25  # Christmas\n\n")
    found = said(
        tmp_path,
        '{cron: ["0 6 * * *", "0 18 * * *"], timezone: Europe/Berlin, except: [2026-12-31, days.txt],'
        ' blackout: ["22:00-06:00", "sat,sun"], start_date: 2026-11-01, end_date: "2027-06-30T06:00Z",'
        " jitter: 5m, catchup: all, catchup_window: 2d, max_catchup: 30, overlap: skip,"
        " max_active_runs: 1, paused: true}",
    )
    assert found == Schedule(
        crons=("0 6 * * *", "0 18 * * *"),
        timezone="Europe/Berlin",
        except_=(date(2026, 12, 31), str(tmp_path / "days.txt")),
        blackouts=(blackout("22:00-06:00"), blackout("sat,sun")),
        start_date=datetime(2026, 11, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        end_date=utc("2027-06-30T06:00"),
        jitter=300,
        catchup=Catchup.ALL,
        catchup_window=2 * 86_400,
        max_catchup=30,
        overlap=Overlap.SKIP,
        max_active_runs=1,
        paused=True,
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('"59/15 * * * *"', '.schedule is "59/15 * * * *"; the minute "59/15" is read in two ways, as "59" alone and as "0-59/15"; write'),
        ('"0 0 * * 6/1"', 'the weekday "6/1" is read in two ways, as "6" alone and as "0-6/1"; write'),
        ('{every: 90m, cron: "@daily"}', ".schedule.every replaces cron; keep one of them"),
        ("{timezone: UTC}", ".schedule has no cron, and no every; give it one of them"),
        ("{cron: []}", ".schedule has no cron, and no every"),
        ("{every: 0.5}", ".schedule.every is shorter than a second"),
        ('{cron: "@daily", except: 2026-13-01}', '.schedule.except is "2026-13-01"; expected a date'),
        ('{cron: "@daily", except: [none.ics]}', '.schedule.except[0] is "none.ics", and there is no such file'),
        ('{cron: "@daily", blackout: "25:00-26:00"}', '.schedule.blackout is "25:00-26:00"; expected a window such as'),
        ('{cron: "@daily", start_date: soon}', '.schedule.start_date is "soon"; expected a date or time'),
        ('{cron: "@daily", start_date: 2026-02-01, end_date: 2026-01-01}', ".schedule.end_date is not after start_date"),
        ('{cron: "@daily", overlap: alow}', '.schedule.overlap is "alow"; expected one of skip'),
        ('{cron: "@daily", max_active_runs: 2}', ".schedule.max_active_runs is 2, and two runs of one pipeline would write the same tables"),
        ('{cron: "@daily", max_catchup: 0}', ".schedule.max_catchup is 0; expected a whole number from 1"),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_sentence_with_its_line(tmp_path, text, problem):
    with pytest.raises(ConfigError) as raised:
        said(tmp_path, text)
    assert str(raised.value).startswith("dbtorch.yml:3: pipelines.p")
    assert problem in str(raised.value)
    assert len(raised.value.problems) == 1


def test_several_crons_tick_together_once_and_their_intervals_adjoin():
    schedule = Schedule(crons=("0 6 * * *", "0 */3 * * *"))
    found = some(schedule, utc("2026-11-01T02:00"), 3)
    assert found == [utc(f"2026-11-01T0{hour}:00") for hour in (3, 6, 9)]
    ticks = Ticks(schedule)
    assert all(ticks.interval(b) == Interval(a, b) for a, b in pairwise(found))
    assert list(ticks.between(found[0], found[2])) == found[1:]


def test_every_counts_from_its_start_or_from_1970_in_its_zone():
    first = some(Schedule(every=5400), utc("2026-11-01T00:10"), 2)
    assert first == some(Schedule(every=5400), utc("2026-11-01T00:59"), 2)  # after a restart
    assert first[1] - first[0] == timedelta(minutes=90)
    assert (first[0] - utc("1970-01-01T00:00")) % timedelta(minutes=90) == timedelta()
    begun = Schedule(every=5400, start_date=utc("2026-11-01T00:10"))
    assert some(begun, utc("2020-01-01T00:00"), 1) == [utc("2026-11-01T01:40")]
    tokyo = Schedule(every=86_400, timezone="Asia/Tokyo")
    assert some(tokyo, utc("2026-11-01T00:10"), 1) == [utc("2026-11-01T15:00")]


def test_a_day_that_is_left_out_is_covered_by_the_next_run():
    schedule = Schedule(crons=("0 6 * * *",), except_=(date(2026, 11, 2), date(2026, 11, 3)))
    assert some(schedule, utc("2026-11-01T06:00"), 1) == [utc("2026-11-04T06:00")]
    hole = Interval(utc("2026-11-01T06:00"), utc("2026-11-04T06:00"))
    assert interval(schedule, None, utc("2026-11-04T06:00")) == hole
    assert interval(schedule, utc("2026-11-02T12:00"), utc("2026-11-09T06:00")) == hole


def test_a_day_that_is_left_out_is_one_of_the_schedule_s_zone():
    schedule = Schedule(crons=("0 1 * * *",), timezone="Asia/Tokyo", except_=(date(2026, 11, 2),))
    assert some(schedule, utc("2026-10-31T16:00"), 1) == [utc("2026-11-02T16:00")]


def test_in_a_blackout_nothing_ticks_and_the_next_run_covers_it():
    schedule = Schedule(crons=("0 * * * *",), blackouts=(blackout("22:00-06:00"),))
    at = utc("2026-11-01T21:00")
    assert some(schedule, at, 1) == [utc("2026-11-02T06:00")]
    assert Ticks(schedule).interval(utc("2026-11-02T06:00")).start == at


@pytest.mark.parametrize(
    ("zone", "window", "at", "ticks"),
    [
        # 02:30 comes twice, and what lies before its second pass is outside
        ("Europe/Berlin", "02:30-03:30", "2026-10-25T00:15", ["00:15", "01:15", "02:30"]),
        # 02:00 does not exist, nor does the window but for its end
        ("Europe/Berlin", "02:00-03:15", "2026-03-29T00:45", ["00:45", "01:15", "01:30"]),
    ],
)
def test_a_blackout_when_the_clocks_change(zone, window, at, ticks):
    schedule = Schedule(crons=("*/15 * * * *",), timezone=zone, blackouts=(blackout(window),))
    found = some(schedule, utc(at) - MINUTE, 12)
    free = some(replace(schedule, blackouts=()), utc(at) - MINUTE, 20)
    assert found == [one for one in free if not Ticks(schedule).blacked_out(one)][:12]
    assert {f"{one:%H:%M}" for one in found} >= set(ticks)
    back = [Ticks(schedule).at_or_before(one - MINUTE) for one in found[1:]]
    assert back == found[:-1]


def test_a_schedule_whose_times_are_all_left_out_never_ticks():
    schedule = Schedule(crons=("0 3 * * *",), blackouts=(blackout("02:00-04:00"),))
    with pytest.raises(NoTick, match="is left out"):
        Ticks(schedule).after(utc("2026-11-01T00:00"))
    with pytest.raises(NoInterval, match="has no interval at"):
        interval(schedule, None, utc("2026-11-01T00:00"))
    assert Ticks(schedule).after(utc("2026-11-01T00:00"), blackouts=True) == utc("2026-11-01T03:00")


def test_windows_are_left_out_up_to_where_the_calendar_ends():
    schedule = Schedule(crons=("0 3 * * *",), blackouts=(blackout("9999-12-30/9999-12-31"),))
    with pytest.raises(NoTick, match="the calendar ends"):
        Ticks(schedule).after(utc("9999-12-29T03:00"))


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("22:00-06:00", ["2026-11-01T22:00", "2026-11-02T05:59"], ["2026-11-02T06:00"]),
        ("fri 22:00-06:00", ["2026-11-07T05:00"], ["2026-11-06T05:00", "2026-11-07T23:00"]),
        ("sat,sun", ["2026-11-07T00:00", "2026-11-08T23:59"], ["2026-11-09T00:00"]),
        ("fri-mon", ["2026-11-06T12:00", "2026-11-09T12:00"], ["2026-11-05T12:00"]),
        ("2026-12-24/2027-01-01", ["2026-12-24T00:00", "2027-01-01T23:00"], ["2027-01-02T00:00"]),
    ],
)
def test_windows(window, inside, outside):
    found = blackout(window)
    assert all(found.around(datetime.fromisoformat(at)) for at in inside)
    assert not any(found.around(datetime.fromisoformat(at)) for at in outside)


def test_a_schedule_ticks_after_its_start_up_to_its_end():
    schedule = Schedule(
        crons=("0 6 * * *",),
        start_date=utc("2026-11-01T00:00"),
        end_date=utc("2026-11-03T06:00"),
    )
    ticks = Ticks(schedule)
    found = list(islice(ticks.between(utc("2026-01-01T00:00"), utc("2027-01-01T00:00")), 9))
    assert found == [utc(f"2026-11-0{day}T06:00") for day in (1, 2, 3)]
    assert ticks.interval(found[0]) == Interval(schedule.start_date, found[0])
    assert ticks.at_or_before(utc("2030-01-01T00:00")) == found[-1]
    with pytest.raises(NoTick):
        ticks.after(found[-1])
    with pytest.raises(NoInterval, match="has no interval at"):
        interval(schedule, None, utc("2026-11-01T05:00"))


def test_jitter_is_the_same_for_every_scheduler_and_within_its_bounds():
    hours = [utc("2026-11-01T00:00") + timedelta(hours=hour) for hour in range(200)]
    found = [delay("daily", at, 300) for at in hours]
    assert found == [delay("daily", at.astimezone(ZoneInfo("Asia/Tokyo")), 300) for at in hours]
    assert all(timedelta() <= late < timedelta(minutes=5) for late in found)
    assert len(set(found)) > 190
    assert found != [delay("hourly", at, 300) for at in hours]
    assert delay("daily", hours[0], 0) == timedelta()


def test_days_come_from_files_and_calendars(tmp_path):
    (tmp_path / "days.txt").write_text("# holidays\n2026-12-25\n2026-12-26 # both\n")
    assert dates_in(str(tmp_path / "days.txt")) == {date(2026, 12, 25), date(2026, 12, 26)}
    (tmp_path / "days.ics").write_bytes(CALENDAR.replace("\n", "\r\n").encode())
    christmas = {date(2026, 12, day) for day in (24, 25, 26)}
    assert dates_in(str(tmp_path / "days.ics")) == christmas | {
        date(year, 1, 1) for year in (2027, 2028, 2029)
    }


EVENT = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261201T100000Z\n{}\nEND:VEVENT\nEND:VCALENDAR\n"


def test_days_that_a_calendar_takes_back_or_adds(tmp_path):
    rule = (
        "RRULE:FREQ=DAILY;COUNT=4\nEXDATE;TZID=Europe/Berlin:20261202T100000,20261203T100000\n"
        "RDATE;VALUE=DATE:20261224\nBEGIN:VALARM\nDTSTART:20200101\nEND:VALARM"
    )
    (tmp_path / "days.ics").write_text(EVENT.format(rule))
    assert dates_in(str(tmp_path / "days.ics")) == {date(2026, 12, day) for day in (1, 4, 24)}
    (tmp_path / "days.ics").write_text(EVENT.format("STATUS:CANCELLED"))
    assert dates_in(str(tmp_path / "days.ics")) == frozenset()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (EVENT.format("RRULE:FREQ=SECONDLY"), "no rule for days"),  # 2.3 billion of them
        (EVENT.format("RRULE:FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30"), "no rule for days"),
        (EVENT.format("RRULE:INTERVAL=0"), "no rule for days"),
        (EVENT.format("DTEND:99991231\nRRULE:FREQ=DAILY"), "more than 100,000 days"),
        (EVENT.format("RRULE:FREQ=DAILY\nRRULE:" + "X" * (5 << 20)), "larger than 4 MiB"),
        ("BEGIN:VCALENDAR\n" + "BEGIN:VEVENT\n" * 200_000, ""),  # of which none ends
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\n" + "A" * (3 << 20), ""),
        ("2026-12-25\n" * 150_000, "more than 100,000 days"),
    ],
)
def test_a_calendar_of_somebody_who_means_harm_is_read_or_refused(tmp_path, text, why):
    """And not for ever, while nothing else of the process goes on."""
    path = tmp_path / "days.ics"
    path.write_text(text)
    if why:
        with pytest.raises(ProjectError, match=why):
            dates_in(str(path))
    else:
        assert dates_in(str(path)) == frozenset()


def test_a_calendar_that_cannot_be_read_leaves_nothing_out_silently(tmp_path):
    (tmp_path / "days.txt").write_text("2026-12-25\nChristmas\n")
    with pytest.raises(ProjectError, match=r"days\.txt, which .* line 2 is no date"):
        dates_in(str(tmp_path / "days.txt"))
    schedule = Schedule(crons=("@daily",), except_=(str(tmp_path / "gone.ics"),))
    with pytest.raises(ProjectError, match=r"gone\.ics, which a schedule excepts, cannot be read"):
        Ticks(schedule).after(utc("2026-11-01T00:00"))
