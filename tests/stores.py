"""Every kind of store for tests, and short ways to what is written into one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.store import open_store
from dbtorch.core.events import Changed, Outcome
from dbtorch.core.graph import Kind, Node
from dbtorch.core.history import Lease, RunRecord
from dbtorch.core.state import RunState, State
from dbtorch.ports import Store
from dbtorch.testing_store import MemoryStore

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/history/runs.db"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    opened: Store
    if request.param == "memory":
        opened = MemoryStore()
    else:
        opened = open_store(request.getfixturevalue(f"{request.param}_url"), tmp_path)
    yield opened
    opened.close()


def after(seconds: float) -> datetime:
    """A moment, counted from noon."""
    return NOON + timedelta(seconds=seconds)


def a_run(run_id: str = "r1", **given: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": run_id,
        "pipeline": "default",
        "project": "shop",
        "target": "dev",
        "logical_date": NOON,
        "data_interval_start": NOON - timedelta(days=1),
        "data_interval_end": NOON,
        "state": RunState.RUNNING,
        "started_at": NOON,
    }
    return RunRecord(**{**values, **given})


def a_node(id: str, kind: Kind = Kind.MODEL, **given: Any) -> Node:
    return Node(id=id, kind=kind, name=id.rpartition(".")[2], **given)


def a_lease(run_id: str = "r1", **given: Any) -> Lease:
    values: dict[str, Any] = {
        "name": "shop/default",
        "run_id": run_id,
        "host": "elsewhere",
        "pid": 4711,
        "acquired_at": NOON,
        "expires_at": after(60),
    }
    return Lease(**{**values, **given})


def change(
    node_id: str, before: State, state: State, seconds: float, attempt: int = 1, **given: Any
) -> Changed:
    return Changed(
        node_id=node_id, attempt=attempt, before=before, state=state, at=after(seconds), **given
    )


def an_attempt(
    node_id: str,
    outcome: Outcome,
    *,
    number: int = 1,
    start: float = 1,
    seconds: float = 1,
    to: State | None = None,
    retry_at: datetime | None = None,
) -> list[Changed]:
    """Everything that changes while a node is tried once: queued, running, then its outcome."""
    before = State.PENDING if number == 1 else State.UP_FOR_RETRY
    end = change(
        node_id,
        State.RUNNING,
        to or outcome.state,
        start + seconds,
        number,
        reason=outcome.message,
        outcome=outcome,
        retry_at=retry_at,
    )
    return [
        change(node_id, before, State.QUEUED, start, number),
        change(node_id, State.QUEUED, State.RUNNING, start, number),
        end,
    ]


SUCCESS = Outcome(state=State.SUCCESS)
