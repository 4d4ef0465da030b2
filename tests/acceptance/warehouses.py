"""Where the sources of a project are: an empty schema, in DuckDB and in Postgres."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import duckdb
import psycopg
import pytest

from tests.acceptance.workspace import Workspace
from tests.sessions import on_postgres


@dataclass
class Warehouse:
    """Where the sources are."""

    execute: Callable[[str], list[tuple[Any, ...]]]
    profile: dict[str, Any]
    results: dict[str, str] = field(default_factory=dict)

    def land(self, name: str, hours: int) -> None:
        """A table whose newest row is so old."""
        age = f"now() - interval '{hours} hours'"
        self.execute(f"create table {self.profile['schema']}.{name} as select {age} as loaded_at")


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def warehouse(request: pytest.FixtureRequest, workspace: Workspace) -> Iterator[Warehouse]:
    """An empty schema."""
    if request.param == "duckdb":

        def ask(sql: str) -> list[tuple[Any, ...]]:
            with duckdb.connect(str(workspace.dir / "warehouse.duckdb")) as file:
                return file.execute(sql).fetchall()

        yield Warehouse(
            ask, {"type": "duckdb", "path": "warehouse.duckdb", "schema": "main", "threads": 4}
        )
        return
    url = request.getfixturevalue("postgres_database")
    schema = f"shop_{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create schema {schema}")

        def ask(sql: str) -> list[tuple[Any, ...]]:
            cursor = connection.execute(sql)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

        yield Warehouse(ask, {**on_postgres(url), "schema": schema, "threads": 4})
