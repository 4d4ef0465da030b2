"""What is due of a pipeline at a moment: its ticks, in blackouts as well, with their intervals."""

from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.model.identity import Identity
from dbtorch.core.schedule.blackout import blackout
from dbtorch.core.schedule.ledger import (
    LedgerView,
    ScheduleKey,
    ScheduleRecord,
    SkipReason,
    TickState,
)
from dbtorch.core.schedule.rules import Catchup
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.service.schedule.timetable import MOST_MISSED, timetable

SHOP = Identity(project_id="acme/shop", name="shop", places={"dev": "dev (x)"}, target="dev")
KEY = ScheduleKey("p", "dev (x)")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NIGHT = Schedule(crons=("0 * * * *",), blackouts=(blackout("22:00-06:00"),))


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def timed(schedule):
    pipelines = {"p": PipelineSpec(name="p", target="dev", schedule=schedule)}
    return timetable(Config(pipelines=pipelines), SHOP)[KEY]


def turn(one, watermark, now):
    """What is decided at a moment."""
    record = ScheduleRecord(key=KEY, version=1, watermark=utc(watermark))
    return one.turn(LedgerView(now=utc(now), schedules={KEY: record})).decision


def test_a_time_in_a_blackout_leaves_a_row_and_the_next_run_covers_it():
    night = timed(NIGHT)
    evening = turn(night, "2026-11-01T20:00", "2026-11-01T21:00")
    assert [tick.scheduled_for.hour for tick in evening.ready] == [21]
    begin = utc("2026-11-01T21:00")
    for hour in range(1, 9):
        at = begin + hour * HOUR
        (tick,) = turn(
            night, str(at.replace(tzinfo=None) - HOUR), str(at.replace(tzinfo=None))
        ).ticks
        assert (tick.scheduled_for, tick.state, tick.reason) == (
            at,
            TickState.SKIPPED,
            SkipReason.BLACKOUT,
        )
        assert tick.interval.start == begin
    (morning,) = turn(night, "2026-11-02T05:00", "2026-11-02T06:00").ready
    assert (morning.interval.start, morning.interval.end) == (begin, utc("2026-11-02T06:00"))
    afresh = turn(timed(NIGHT), "2026-11-02T05:00", "2026-11-02T06:00")  # by another scheduler
    assert afresh.ready == (morning,)


def test_after_an_outage_each_time_of_a_blackout_has_its_row():
    found = turn(timed(NIGHT), "2026-11-01T20:00", "2026-11-02T06:00")
    reasons = [tick.reason for tick in found.ticks]
    assert reasons == [SkipReason.TOO_LATE] + 8 * [SkipReason.BLACKOUT] + [None]
    assert found.ready[0].interval.start == utc("2026-11-01T21:00")


def test_a_long_blackout_hides_no_time_that_was_missed_before_it():
    """What runs in the end is Friday's last tick, though a thousand ticks have passed since."""
    schedule = Schedule(crons=("* * * * *",), blackouts=(blackout("sat,sun"),))
    found = turn(timed(schedule), "2026-11-06T23:00", "2026-11-08T12:00")
    (waits,) = [tick for tick in found.ticks if tick.state is TickState.QUEUED]
    assert waits.scheduled_for == utc("2026-11-06T23:59")
    assert waits.interval.start == utc("2026-11-06T23:58")
    assert found.ready == ()  # not before Monday
    left_out = [tick for tick in found.ticks if tick.reason is SkipReason.BLACKOUT]
    assert [left_out[0].interval.start, len(left_out)] == [utc("2026-11-06T23:59"), MOST_MISSED]
    assert found.watermark == utc("2026-11-08T12:00")


def test_of_too_many_missed_the_newest_leave_a_row_but_none_before_the_start():
    schedule = Schedule(
        crons=("* * * * *",),
        start_date=utc("2026-11-01T00:00"),
        catchup=Catchup.ALL,
        max_catchup=1000,
    )
    found = turn(timed(schedule), "2026-10-01T00:00", "2026-11-01T10:00")
    assert len(found.ticks) == 600
    assert found.ticks[0].interval.start == schedule.start_date
    assert found.ticks[0].scheduled_for == schedule.start_date + MINUTE
    later = turn(timed(schedule), "2026-10-01T00:00", "2026-11-11T00:00")
    assert len(later.ticks) == MOST_MISSED
    assert later.ticks[0].interval.start == later.ticks[0].scheduled_for - MINUTE


@pytest.mark.parametrize("now", ["2026-11-01T03:00", "2026-11-04T03:00"])
def test_a_schedule_whose_times_are_all_in_a_blackout_says_so_at_each(now):
    schedule = Schedule(crons=("0 3 * * *",), blackouts=(blackout("02:00-04:00"),))
    found = turn(timed(schedule), "2026-10-31T03:00", now)
    assert {tick.reason for tick in found.ticks} == {SkipReason.BLACKOUT}
    assert {tick.interval.start for tick in found.ticks} == {None}
