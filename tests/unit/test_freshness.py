"""How freshness is said, and what is said about which source."""

import pytest

from dbtorch.adapters.dbt.session.answers import freshness_of
from dbtorch.core.model.freshness import (
    FreshnessSpec,
    GateSettings,
    SourceGates,
    Thresholds,
    age_told,
    span,
    status_of,
    told,
)
from dbtorch.core.model.gate import Gate, OnStale
from dbtorch.core.model.state import FailureClass, State

H, D = 3600.0, 86_400.0

LIMITS = Thresholds(warn_after=12 * H, error_after=24 * H)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (H, "1 h"),
        (1.5 * H, "90 min"),
        (31.9 * H, "31 h"),  # never older than it is
        (3 * D, "72 h"),
        (5.5 * D, "5 d"),
    ],
)
def test_times_are_said_as_thresholds_are_written(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("status", "age", "text"),
    [
        ("error", 31 * H, "source shop.orders is stale: 31 h, allowed 24 h"),
        ("error", 24 * H + 600, "source shop.orders is stale: 24 h 10 min, allowed 24 h"),
        # dbt answers the year 1 for a table without rows
        ("error", 2024 * 365 * D, "source shop.orders is stale: it has no rows"),
        ("warn", 13 * H, "source shop.orders is late: 13 h, expected 12 h"),
        ("pass", 60, "source shop.orders is fresh: 1 min"),
        ("pass", -14 * H, "source shop.orders is fresh: 0 s"),  # of another time zone
        # dbt passes it for ever
        (
            "error",
            -200 * D,
            "source shop.orders is stale: its newest row is 200 d ahead of now",
        ),
        ("runtime error", None, "source shop.orders could not be checked: no such table"),
    ],
)
def test_what_a_check_has_found(status, age, text):
    assert told("shop.orders", status, age, LIMITS, "no such table") == text


def test_what_is_dated_in_the_future_is_not_fresh_whatever_dbt_says():
    said = {"status": "pass", "max_loaded_at_time_ago_in_s": -200.0 * D, "criteria": {}}
    assert status_of(said) == "error"
    assert status_of({**said, "max_loaded_at_time_ago_in_s": -0.9 * D}) == "pass"
    assert status_of({"status": "runtime error"}) == "runtime error"
    assert not status_of({})
    outcome = freshness_of("source.shop.raw.orders", {"status": "pass", "source": said})
    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.DATA)
    assert outcome.message.endswith("its newest row is 200 d ahead of now")
    assert outcome.details["source"] == said  # sources.json is dbt's, to the field
    assert age_told(-200.0 * D) == "200 d ahead of now"


def test_a_name_wins_over_patterns_and_a_later_pattern_over_an_earlier_one():
    spec = FreshnessSpec(
        default=GateSettings(on_error=OnStale.FAIL, every=5.0),
        sources=(
            SourceGates(pattern="shop.orders", settings=GateSettings(on_error=OnStale.WARN)),
            SourceGates(pattern="*", settings=GateSettings(on_warn=OnStale.FAIL)),
            SourceGates(pattern="shop.*", settings=GateSettings(on_warn=OnStale.SKIP)),
        ),
    )
    assert spec.of("shop.orders").gate() == Gate(
        on_error=OnStale.WARN, on_warn=OnStale.SKIP, every=5.0
    )
    assert spec.of("crm.users").gate() == Gate(
        on_error=OnStale.FAIL, on_warn=OnStale.FAIL, every=5.0
    )


def test_what_nobody_says_is_the_gates_own():
    assert GateSettings().gate() == Gate()
