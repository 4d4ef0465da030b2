"""One connection to the warehouse, the same few calls on DuckDB and on Postgres."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Warehouse:
    """A connection to the warehouse. Statements mark their parameters with ``?``."""

    def __init__(self, cursor: Any, *, type: str) -> None:
        self._cursor = cursor
        self.type = type

    def execute(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Run one statement."""
        statement = sql if self.type == "duckdb" else sql.replace("?", "%s")
        self._cursor.execute(statement, list(params) or None)

    def fetch(
        self, sql: str, params: Sequence[Any] = ()
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one query; answer its column names and its rows."""
        self.execute(sql, params)
        return [column[0] for column in self._cursor.description], self._cursor.fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, their values in the order of ``columns``: a list for each column, which both
        warehouses take in a quarter of the time of a marker for each value.
        """
        if not rows:
            return
        values = ", ".join(f"unnest({_list(value)})" for value in rows[0])
        self.execute(
            f"insert into {table} ({', '.join(columns)}) select {values}",
            [list(column) for column in zip(*rows, strict=True)],
        )

    def lock(self, name: str) -> None:
        """Wait until nobody else has this name, and keep it until the connection ends."""
        if self.type == "postgres":  # a DuckDB file has one writing process in any case
            self.execute("select pg_advisory_lock(hashtext(?))", [name])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside, or nothing."""
        self.execute("begin")
        try:
            yield
        except BaseException:
            self.execute("rollback")
            raise
        self.execute("commit")


def _list(value: object) -> str:
    """A parameter that is a list of such values."""
    return "?::timestamp[]" if isinstance(value, datetime) else "?::text[]"


def now() -> datetime:
    """The time, without a zone, which is how dbt understands UTC on both warehouses."""
    return datetime.now(UTC).replace(tzinfo=None)


@contextmanager
def connect(context: Any, *, read_only: bool = False) -> Iterator[Warehouse]:
    """Open the warehouse that dbt's target points to, and close it at the end."""
    target = context.target
    if target["type"] == "duckdb":
        connection = _duckdb(target, Path(context.project_dir), read_only=read_only)
    elif target["type"] == "postgres":
        connection = _postgres(read_only=read_only)
    else:
        raise ValueError(
            f"target {target.get('name')!r} is of type {target['type']!r}; "
            "this project lands data on duckdb and postgres only"
        )
    # DuckDB's cursors are connections of their own: one for everything keeps one transaction.
    cursor = connection.cursor()
    try:
        yield Warehouse(cursor, type=target["type"])
    finally:
        cursor.close()
        connection.close()


def _duckdb(target: Mapping[str, Any], project_dir: Path, *, read_only: bool) -> Any:
    import duckdb

    path = project_dir / target["path"]  # dbtorch tells where dbt has the file, in full
    path.parent.mkdir(parents=True, exist_ok=True)
    return duckdb.connect(str(path), read_only=read_only)


def _postgres(*, read_only: bool) -> Any:
    import psycopg2

    # The same variables, with the same defaults, as in profiles.yml.
    connection = psycopg2.connect(
        host=os.environ.get("PGHOST", "localhost"),
        port=os.environ.get("PGPORT", "5432"),
        user=os.environ.get("PGUSER", "postgres"),
        password=os.environ.get("PGPASSWORD", ""),
        dbname=os.environ.get("PGDATABASE", "shop"),
    )
    connection.set_session(readonly=read_only, autocommit=True)
    return connection
