"""Which interval a run stands for, also when the clocks change."""

from datetime import UTC, datetime

import pytest

from dbtorch.adapters.cron import interval
from dbtorch.core.config import Schedule


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "logical_date", "start", "end"),
    [
        # on a tick: the interval that begins there
        ("0 6 * * *", "UTC", "2026-03-01T06:00", "2026-03-01T06:00", "2026-03-02T06:00"),
        # between two ticks: the interval it lies in
        ("0 6 * * *", "UTC", "2026-03-01T12:00", "2026-03-01T06:00", "2026-03-02T06:00"),
        # the day Berlin's clock goes forward has 23 hours
        ("0 6 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-28T05:00", "2026-03-29T04:00"),
        # the day it goes back has 25
        ("0 6 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-24T04:00", "2026-10-25T05:00"),
        # weekly
        ("0 0 * * 1", "UTC", "2026-11-21T10:00", "2026-11-16T00:00", "2026-11-23T00:00"),
    ],
)
def test_the_interval_of_a_scheduled_pipeline(cron, zone, logical_date, start, end):
    found = interval(Schedule(cron=cron, timezone=zone), utc(logical_date))
    assert found == (utc(start), utc(end))


def test_without_a_schedule_the_interval_has_no_width():
    now = utc("2026-11-21T10:00")
    assert interval(None, now) == (now, now)
