"""Deadlines as people write them, and when they are."""

from datetime import UTC, datetime, time, timedelta, timezone

import pytest

from dbtorch.core.errors import Refused
from dbtorch.core.model.deadline import DeadlineRule
from dbtorch.core.text.deadlines import moment, rule


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2h", DeadlineRule(within=7200)),
        ("1h30m", DeadlineRule(within=5400)),
        (90, DeadlineRule(within=90)),
        ("08:00", DeadlineRule(by=time(8))),
        ("8:05", DeadlineRule(by=time(8, 5))),
        ("23:59:30", DeadlineRule(by=time(23, 59, 30))),
        ("00:00", DeadlineRule(by=time(0))),  # midnight is a time, 0 is no duration
    ],
)
def test_what_is_accepted(written, expected):
    assert rule(written) == expected


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("soon", "a deadline is a duration"),
        ("24:00", "no such time of day"),
        ("08:60", "no such time of day"),
        ("8", "a deadline is a duration"),
        (0, "more than 0 seconds"),
        (True, "a deadline is a duration"),
        (None, "a deadline is a duration"),
        ("08:00 Europe/Berlin", "a deadline is a duration"),  # the zone is the schedule's
    ],
)
def test_what_is_refused(written, said):
    with pytest.raises(Refused, match=said):
        rule(written)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "start", "zone", "expected"),
    [
        ("2h", "2026-03-01T05:00", "Europe/Berlin", "2026-03-01T07:00"),
        ("08:00", "2026-03-01T05:00", "UTC", "2026-03-01T08:00"),
        ("08:00", "2026-03-01T05:00", "Europe/Berlin", "2026-03-01T07:00"),  # winter: +1
        ("08:00", "2026-07-01T05:00", "Europe/Berlin", "2026-07-01T06:00"),  # summer: +2
        ("08:00", "2026-03-01T08:00", "UTC", "2026-03-02T08:00"),  # started then: tomorrow's
        ("00:30", "2026-03-01T23:00", "UTC", "2026-03-02T00:30"),
        ("08:00", "2026-03-01T23:30", "Asia/Tokyo", "2026-03-02T23:00"),  # there it is 8:30
        ("08:00", "2026-03-28T23:30", "Europe/Berlin", "2026-03-29T06:00"),  # clocks change
        ("02:30", "2026-03-28T23:30", "Europe/Berlin", "2026-03-29T01:30"),  # is skipped: 3:30
        ("02:30", "2026-10-24T23:30", "Europe/Berlin", "2026-10-25T00:30"),  # is there twice
    ],
)
def test_when_a_run_is_late(written, start, zone, expected):
    assert moment(rule(written), utc(start), zone) == utc(expected)


def test_without_a_zone_it_is_this_machine_s_clock():
    start = datetime(2026, 3, 1, 5, tzinfo=timezone(timedelta(hours=5)))
    found = moment(DeadlineRule(by=time(8)), start, None)
    assert found.astimezone().time() == time(8)
    assert timedelta(0) < found - start <= timedelta(days=1)
