"""What others write as numbers and dates is clamped or refused, and never raises."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.core.alerts import outbox
from dbtorch.core.model.policy import Retry
from dbtorch.core.model.state import FailureClass
from dbtorch.core.text.from_outside import FOR_EVER, moment, number, seconds_to_wait, whole

NOW = datetime(2026, 3, 1, tzinfo=UTC)

#: Whatever may stand where a number or a date is expected.
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**400, max_value=10**401),
    st.floats(),
    st.text(),
    st.from_regex(r"[+-]?[0-9]{1,20}([.][0-9]{1,5})?(e[+-]?[0-9]{1,4})?", fullmatch=True),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}[+-][0-9]{2}:00", fullmatch=True),
    st.from_regex(r"Fri, [0-9]{2} Dec [0-9]{4} 23:59:59 [+-][0-9]{4}", fullmatch=True),
    st.lists(st.integers()),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        ("3.5", 3.5),
        (-1, 0.0),
        ("999999999999", FOR_EVER),
        (1e30, FOR_EVER),
        ("inf", FOR_EVER),
        (10**400, FOR_EVER),
        (-(10**400), 0.0),
        ("nan", None),
        (float("nan"), None),
        ("soon", None),
        (True, None),  # somebody has meant something else
        (None, None),
        ([1], None),
        ("9" * 5000, None),
    ],
)
def test_a_number_is_clamped_or_refused(value: Any, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7), (99999999999999999999, 1000), (-3, 0), ("1e999", None), (2.5, None), (None, None)],
)
def test_a_whole_number_is_clamped_or_refused(value: Any, expected: int | None) -> None:
    assert whole(value, most=1000) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T01:00:00+01:00", NOW),
        ("2026-03-01", NOW),
        ("Sun, 01 Mar 2026 00:00:00 GMT", NOW),
        ("Fri, 31 Dec 9999 23:59:59 -1200", datetime(9998, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59-12:00", datetime(9998, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+12:00", datetime(2, 1, 1, tzinfo=UTC)),
        ("soon", None),
        (20260301, datetime(2026, 3, 1, tzinfo=UTC)),
        (None, None),
    ],
)
def test_a_date_is_clamped_or_refused(value: Any, expected: datetime | None) -> None:
    assert moment(value) == expected


@given(ANYTHING)
def test_nothing_from_outside_breaks_arithmetic(value: Any) -> None:
    later = moment(value)
    if later is not None:
        assert later + timedelta(days=300) - timedelta(days=300) == later
        assert later.utcoffset() == timedelta()
    wait = seconds_to_wait(value, NOW)
    assert wait is None or 0.0 <= wait <= FOR_EVER
    whole(value, most=10)


@given(ANYTHING)
def test_nobody_can_ask_for_a_longer_wait_than_the_longest(value: Any) -> None:
    asked = number(value)
    again = Retry(max_delay=5.0).next_try(
        failures={FailureClass.TRANSIENT: 1},
        failure_class=FailureClass.TRANSIENT,
        first_start=NOW,
        now=NOW,
        random=lambda: 0.5,
        asked_delay=asked,
    )
    assert again is not None
    assert again - NOW <= timedelta(seconds=5)
    told = outbox.next_try(1, NOW, lambda: 0.5, asked=asked)
    assert told - NOW <= timedelta(seconds=outbox.HOPELESS_WAIT)


@pytest.mark.parametrize("asked", [1e30, float("inf"), float("nan")])
def test_a_wait_that_is_no_time_is_not_waited_for(asked: float) -> None:
    again = Retry(max_delay=1e30, delay=1.0, budget=1e30).next_try(
        failures={FailureClass.TRANSIENT: 1},
        failure_class=FailureClass.TRANSIENT,
        first_start=NOW,
        now=NOW,
        random=lambda: 0.5,
        asked_delay=asked,
    )
    assert again is not None
    assert again - NOW <= timedelta(seconds=FOR_EVER)


def test_decimals_are_numbers_of_somebody_else() -> None:
    assert number(str(Decimal("1.5"))) == 1.5
