"""Every kind of store for tests, and short ways to what is written into one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.store import open_store
from dbtorch.adapters.store.database import Transaction
from dbtorch.adapters.store.rows import lease_values, moment
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.adapters.store.statements import ADD_LEASE
from dbtorch.core.history.records import Lease, RunRecord
from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.reason import Reason
from dbtorch.core.model.state import RunState, State
from dbtorch.ports.store import Store

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)

SHOP = Identity(project_id="acme/shop", name="shop")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/history/runs.db"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind; the one in memory is SQLite's."""
    opened = open_store(database_url, tmp_path, identity=SHOP)
    yield opened
    opened.close()


def seen_by(store: Store, **identity: Any) -> Store:
    """The same history as another project has it."""
    assert isinstance(store, SqlStore)
    return SqlStore(store._database, replace(SHOP, **identity))


def let_pass(store: Store, seconds: float) -> None:
    """Let the clock of a store go on, as far as leases and workers are concerned."""
    assert isinstance(store, SqlStore)

    def set_back(transaction: Transaction) -> None:
        for row in transaction.all("SELECT name, expires_at FROM dbtorch_leases"):
            end = datetime.fromisoformat(row["expires_at"]) - timedelta(seconds=seconds)
            values = {"name": row["name"], "end": moment(end)}
            transaction.run(
                "UPDATE dbtorch_leases SET expires_at = :end WHERE name = :name", values
            )
        for row in transaction.all("SELECT token, expires_at FROM dbtorch_offers"):
            if row["expires_at"]:
                end = datetime.fromisoformat(row["expires_at"]) - timedelta(seconds=seconds)
                values = {"token": row["token"], "end": moment(end)}
                transaction.run(
                    "UPDATE dbtorch_offers SET expires_at = :end WHERE token = :token", values
                )

    store._database.write(set_back)


def let_hold(store: Store, lease: Lease) -> None:
    """Write a lease as it is, whoever had it."""
    assert isinstance(store, SqlStore)

    def put(transaction: Transaction) -> None:
        transaction.run("DELETE FROM dbtorch_leases WHERE name = :name", {"name": lease.name})
        transaction.run(ADD_LEASE, lease_values(lease))

    store._database.write(put)


def whenever(lease: Lease | None) -> Lease | None:
    """A lease apart from when it was taken and until when it holds."""
    return lease and replace(lease, acquired_at=NOON, expires_at=after(60))


def after(seconds: float) -> datetime:
    """A moment, counted from noon."""
    return NOON + timedelta(seconds=seconds)


def a_run(run_id: str = "r1", **given: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": run_id,
        "pipeline": "default",
        "project": "shop",
        "target": "dev",
        "place": given.get("target", "dev"),
        "logical_date": NOON,
        "data_interval_start": NOON - timedelta(days=1),
        "data_interval_end": NOON,
        "state": RunState.RUNNING,
        "started_at": NOON,
    }
    return RunRecord(**{**values, **given})


def a_node(id: str, kind: Kind | None = None, **given: Any) -> Node:
    return Node(id=id, kind=kind or Kind.of(id) or Kind.MODEL, name=id.rpartition(".")[2], **given)


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
        reason=Reason.said(outcome.message),
        outcome=outcome,
        retry_at=retry_at,
    )
    return [
        change(node_id, before, State.QUEUED, start, number),
        change(node_id, State.QUEUED, State.RUNNING, start, number),
        end,
    ]


SUCCESS = Outcome(state=State.SUCCESS)
