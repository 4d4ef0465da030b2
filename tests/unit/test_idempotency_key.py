"""The key is a name for one pipeline, logical date and step, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from dbtorch.adapters.steps.context import describe, environment, idempotency_key
from dbtorch.core.events import Attempt
from dbtorch.ports import StepContext

DATE = datetime(2026, 1, 12, 6, tzinfo=UTC)

CONTEXT = StepContext(
    run_id="one",
    project="shop",
    pipeline="daily",
    logical_date=DATE,
    data_interval_start=DATE - timedelta(days=1),
    data_interval_end=DATE,
    project_dir=Path("/shop"),
)

SAME = [
    {"run_id": "another"},  # the date is run again
    {"data_interval_start": DATE},  # the schedule was changed since
    {"project_dir": Path("/elsewhere")},  # resumed on another machine
    {"target": {"name": "prod"}, "vars": {"a": 1}},
    {"logical_date": DATE.astimezone(timezone(timedelta(hours=1)))},  # the same moment
]

OTHER = [
    {"pipeline": "web_traffic"},
    {"logical_date": DATE + timedelta(days=1)},
    {"project": "another"},
]


@pytest.mark.parametrize("changes", SAME)
def test_the_same_work_has_the_same_key(changes: dict[str, object]) -> None:
    key = idempotency_key(CONTEXT, "ingest")
    assert idempotency_key(replace(CONTEXT, **changes), "ingest") == key  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", OTHER)
def test_other_work_has_another_key(changes: dict[str, object]) -> None:
    key = idempotency_key(CONTEXT, "ingest")
    assert idempotency_key(replace(CONTEXT, **changes), "ingest") != key  # type: ignore[arg-type]
    assert idempotency_key(CONTEXT, "publish") != key


def test_every_attempt_is_told_the_same_key() -> None:
    told = [describe(CONTEXT, "ingest", Attempt("step.ingest", n), {}) for n in (1, 2, 7)]
    assert len({environment(one)["DBTORCH_IDEMPOTENCY_KEY"] for one in told}) == 1
