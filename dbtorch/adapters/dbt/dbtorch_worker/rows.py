"""How many rows a statement changed, where an adapter knows it and does not say."""

from __future__ import annotations

import contextlib
from typing import Any


def count_rows(adapter_type: str) -> None:
    """Let dbt-duckdb report the rows of CREATE TABLE AS, INSERT, UPDATE and DELETE.

    DuckDB answers those with one row in a column "Count", which dbt-duckdb leaves unread.
    """
    if adapter_type != "duckdb":
        return
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    execute = DuckDBConnectionManager.execute

    def counted(
        manager: Any, sql: str, auto_begin: bool = False, fetch: bool = False, limit: Any = None
    ) -> Any:
        response, table = execute(manager, sql, auto_begin, fetch, limit)
        if not fetch:
            with contextlib.suppress(Exception):
                cursor = manager.get_thread_connection().handle.cursor()
                if [column[0] for column in cursor.description or ()] == ["Count"]:
                    response.rows_affected = int(cursor.fetchone()[0])
        return response, table

    DuckDBConnectionManager.execute = counted
