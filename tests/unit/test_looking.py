"""What a warehouse answers for the newest value of a column, as a time."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from dbtorch.adapters.dbt.dbtorch_worker.relation_sql import when

BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, None),  # no rows, or nothing but nulls
        (datetime(2026, 3, 1, 12), "2026-03-01T12:00:00+00:00"),  # noqa: DTZ001  # it is UTC then
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00+00:00"),
        (datetime(2026, 3, 1, 12, tzinfo=BERLIN), "2026-03-01T11:00:00+00:00"),
        (date(2026, 3, 1), "2026-03-01T00:00:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        (" 2026-03-01 12:00:00 ", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00+00:00"),
    ],
)
def test_a_time(value, said):
    assert when(value) == said


@pytest.mark.parametrize("value", [5, Decimal(5), True, "yesterday", ""])
def test_what_is_no_time_has_no_age(value):
    with pytest.raises(ValueError, match=r"no time|isoformat"):
        when(value)
