"""The store in memory: SQLite's, on a clock that is handed in, and gone with the process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from dbtorch.adapters.store.database import Database
from dbtorch.adapters.store.migrator import migrate
from dbtorch.adapters.store.rows import moment
from dbtorch.adapters.store.sql import ANYBODY, SqlStore
from dbtorch.adapters.store.sqlite import SqliteDriver
from dbtorch.core.model.identity import Identity


class _MemoryDriver(SqliteDriver):
    """Implements `Driver` over a database that has no file, whose clock is ours."""

    now = "dbtorch_now()"
    settle = None  # type: ignore[assignment]  # there is no disk

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(Path(":memory:"))
        self._clock = clock

    def connect(self) -> sqlite3.Connection:
        connection = super().connect()
        connection.create_function("dbtorch_now", 0, lambda: moment(self._clock()))
        return connection


class MemoryStore(SqlStore):
    """Implements `Store` and forgets everything with the process."""

    def __init__(
        self,
        identity: Identity = ANYBODY,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``clock`` is the database's, by which leases are over."""
        database = Database(_MemoryDriver(clock))
        migrate(database)
        super().__init__(database, identity)
