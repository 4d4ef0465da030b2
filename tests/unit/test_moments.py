"""Times as people read them: in one zone, which is named."""

import time
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from dbtorch.cli.text.words import local
from dbtorch.core.alerts.text import when
from dbtorch.core.model.interval import Interval
from dbtorch.core.text.moments import shown

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (UTC, "2026-03-01 12:00:00 UTC"),
        (ZoneInfo("America/New_York"), "2026-03-01 07:00:00 EST"),
        (ZoneInfo("America/Sao_Paulo"), "2026-03-01 09:00:00 -03"),  # a zone without a name
        (timezone(timedelta(hours=5, minutes=30)), "2026-03-01 17:30:00 UTC+05:30"),
    ],
)
def test_a_time_names_its_zone(zone, text):
    assert shown(NOON, zone) == text


@pytest.fixture
def in_new_york(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_new_york")
def test_everything_that_people_read_is_in_the_machines_zone():
    assert local(NOON) == "2026-03-01 07:00:00 EST"
    assert when(NOON) == "2026-03-01 07:00 EST"
    assert str(Interval(NOON, NOON + timedelta(days=1))) == (
        "2026-03-01 07:00:00 EST to 2026-03-02 07:00:00 EST"
    )


def test_where_the_calendar_ends_a_time_is_told_as_it_is():
    assert shown(datetime.max.replace(tzinfo=UTC), timezone(timedelta(hours=1))) == (
        "9999-12-31 23:59:59 UTC"
    )
