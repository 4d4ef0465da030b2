"""A schedule where somebody else tells the time, and knows nothing but cron."""

from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.adapters.cron import Ticks
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.service.schedule.elsewhere import cron_of_every

SPAN = (datetime(2027, 3, 20, tzinfo=UTC), datetime(2027, 3, 20, tzinfo=UTC) + timedelta(days=15))


@pytest.mark.parametrize(
    ("every", "zone", "start", "cron"),
    [
        (21_600, "Europe/Berlin", None, "0 5,11,17,23 * * *"),
        (900, "Asia/Kolkata", None, "0,15,30,45 * * * *"),
        (3600, "Asia/Kolkata", None, "30 * * * *"),
        (86_400, "America/New_York", None, "0 5 * * *"),
        (43_200, "UTC", datetime(2026, 1, 1, 7, 20, tzinfo=UTC), "20 7,19 * * *"),
        (60, "UTC", None, "* * * * *"),
        (5400, "UTC", None, None),  # two lines of cron
        (25_200, "UTC", None, None),  # another time each day
        (30, "UTC", None, None),
        (3600, "UTC", datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC), None),
        (172_800, "UTC", None, None),
    ],
)
def test_an_every_is_a_cron_that_ticks_as_it_does(every, zone, start, cron):
    schedule = Schedule(every=float(every), timezone=zone, start_date=start)
    found = cron_of_every(schedule)
    assert found == cron
    if cron is not None:
        ticks = list(Ticks(schedule).between(*SPAN))
        assert ticks
        assert list(Ticks(Schedule(crons=(cron,))).between(*SPAN)) == ticks
