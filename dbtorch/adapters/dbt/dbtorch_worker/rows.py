"""How many rows a statement changed, where an adapter knows it and does not say."""

from __future__ import annotations

import contextlib
from typing import Any


class Counted(int):
    """Rows of which the adapter says nothing."""


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
                    response.rows_affected = Counted(cursor.fetchone()[0])
        return response, table

    DuckDBConnectionManager.execute = counted


def take_rows_apart(result: Any) -> int | None:
    """The rows a result says it has written; dbt-duckdb says nothing of them in artifacts."""
    affected = _affected(result)
    if isinstance(affected, Counted):
        result.adapter_response.pop("rows_affected")
    return affected


def keep_rows_of_batches() -> None:
    """Keep what batches of microbatch models have written, which dbt leaves out of the result."""
    from dbt.task.run import MicrobatchModelRunner

    merge = MicrobatchModelRunner.merge_batch_results

    def merged(runner: Any, result: Any, batch_results: list[Any]) -> None:
        merge(runner, result, batch_results)
        if runner.node.previous_batch_results is None:  # an earlier attempt wrote some of them
            runner.rows_of_batches = [_affected(batch) for batch in batch_results]

    MicrobatchModelRunner.merge_batch_results = merged


#: Adapters whose CREATE TABLE AS says how many rows the table has. Snowflake's says 1.
_SAY_SO = ("duckdb", "postgres", "bigquery")

#: Materializations without rows of their own; what is external costs a scan to count.
_NO_TABLE = ("view", "ephemeral", "materialized_view", "external")


def rows_of(task: Any, runner: Any, result: Any) -> dict[str, int] | None:
    """Rows a node has written, and rows of its table, each where it is known or cheap to know.

    None for what leaves no table. Never raises: nothing fails because it cannot be counted.
    """
    if getattr(task.args, "empty", False) or getattr(task.args, "sample", None):
        return None  # its tables are not what they usually are
    node = result.node
    materialized = str(node.config.materialized or "")
    if str(node.resource_type) not in ("model", "seed", "snapshot") or materialized in _NO_TABLE:
        return None
    found: dict[str, int] = {}
    batches = getattr(runner, "rows_of_batches", None) or [_affected(result)]
    affected = None if None in batches else sum(batches)
    if affected is not None:
        found["affected"] = affected
    credentials = task.config.credentials
    made_anew = materialized in ("table", "seed")
    if made_anew and "affected" in found and credentials.type in _SAY_SO:
        found["count"] = found["affected"]
    elif credentials.type == "duckdb" and node.database == credentials.database:
        with contextlib.suppress(Exception):
            found["count"] = _counted(task, node)
    return found


def _affected(result: Any) -> int | None:
    """Rows that a result says it has written; None where it does not say."""
    affected = (result.adapter_response or {}).get("rows_affected")
    is_count = isinstance(affected, int) and not isinstance(affected, bool) and affected >= 0
    return affected if is_count else None


def _counted(task: Any, node: Any) -> int:
    """Rows of a table in DuckDB's own file, which knows them without reading it."""
    from dbt.adapters.factory import get_adapter

    adapter = get_adapter(task.config)
    relation = adapter.Relation.create_from(task.config, node)
    with adapter.connection_named(node.unique_id):
        # dbt's own way takes several milliseconds more: log lines, and a table for the answer
        cursor = adapter.connections.get_thread_connection().handle.cursor()
        cursor.execute(f"select count(*) from {relation}")
        return int(cursor.fetchone()[0])
