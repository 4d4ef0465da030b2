"""The key is a name for one pipeline, target, logical date and step, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from dbtorch.adapters.steps.context import describe, environment, idempotency_key
from dbtorch.core.model.events import Attempt
from dbtorch.ports.steps import StepContext

DATE = datetime(2026, 1, 12, 6, tzinfo=UTC)

CONTEXT = StepContext(
    run_id="one",
    project="shop",
    pipeline="daily",
    logical_date=DATE,
    data_interval_start=DATE - timedelta(days=1),
    data_interval_end=DATE,
    project_dir=Path("/shop"),
    project_id="github.com/acme/shop",
    target={"name": "dev", "type": "postgres", "database": "dwh", "schema": "ana", "threads": 4},
)

SAME = [
    {"run_id": "another"},  # the date is run again
    {"data_interval_start": DATE},  # the schedule was changed since
    {"data_interval_end": DATE + timedelta(days=9)},  # the date was named, and is run again later
    {"project_dir": Path("/elsewhere")},  # resumed on another machine
    {"target": {**CONTEXT.target, "threads": 8}, "vars": {"a": 1}},
    {"logical_date": DATE.astimezone(timezone(timedelta(hours=1)))},  # the same moment
]

OTHER = [
    {"pipeline": "web_traffic"},
    {"logical_date": DATE + timedelta(days=1)},
    {"project": "another"},
    {"project_id": "github.com/other/shop"},  # another of the same name
    {"target": {**CONTEXT.target, "name": "prod"}},
    {"target": {**CONTEXT.target, "schema": "ben"}},  # another developer's
    {"target": {}},
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


def test_two_runs_up_to_now_are_two_pieces_of_work() -> None:
    failed = replace(CONTEXT, up_to_now=True)
    again = replace(failed, data_interval_end=DATE + timedelta(hours=1))  # begins where that began
    assert idempotency_key(failed, "ingest") != idempotency_key(again, "ingest")
    assert idempotency_key(replace(failed, run_id="resumed"), "ingest") == idempotency_key(
        failed, "ingest"
    )


def test_every_attempt_is_told_the_same_key() -> None:
    told = [describe(CONTEXT, "ingest", Attempt("step.ingest", n), {}) for n in (1, 2, 7)]
    assert len({environment(one)["DBTORCH_IDEMPOTENCY_KEY"] for one in told}) == 1
