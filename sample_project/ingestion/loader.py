"""Loads the files of a feed into ``raw``, each content exactly once.

The ledger ``raw._loads`` has a row for every file that landed. A file whose content is known is
left alone, a file whose content changed replaces the rows it landed before. File and ledger
change in one transaction, so a load that is killed half-way goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingestion.feeds import Feed, File, Row
from ingestion.warehouse import Warehouse, connect

#: Rows that one insert statement takes.
CHUNK = 500

_LEDGER = """
create table if not exists raw._loads (
    feed text not null,
    file text not null,
    content_hash text not null,
    row_count integer not null,
    run_id text,
    loaded_at timestamp not null,
    checked_at timestamp not null
)
"""


def load(context: Any, *feeds: Feed) -> dict[str, int]:
    """Land what is new of these feeds; answer how much that was."""
    landed = {"rows": 0, "files": 0, "unchanged": 0}
    with connect(context) as warehouse:
        _prepare(warehouse, feeds)
        for feed in feeds:
            known = _known(warehouse, feed)
            files = feed.files(Path(context.project_dir))
            fresh = [file for file in files if known.get(file.name) != file.hash]
            for file in fresh:
                rows = feed.rows(file)
                _replace(warehouse, feed, file, rows, run_id=context.run_id)
                landed["rows"] += len(rows)
                print(f"{file.name}: {len(rows)} rows")
            landed["files"] += len(fresh)
            landed["unchanged"] += len(files) - len(fresh)
            _checked(warehouse, feed)
    return landed


def _prepare(warehouse: Warehouse, feeds: Sequence[Feed]) -> None:
    with warehouse.transaction():
        if warehouse.type == "postgres":
            # "if not exists" does not help two sessions that create the same thing at once.
            warehouse.execute("select pg_advisory_xact_lock(hashtext('raw._loads'))")
        warehouse.execute("create schema if not exists raw")
        warehouse.execute(_LEDGER)
        for feed in feeds:
            columns = ", ".join(f"{column} text" for column in feed.columns)
            warehouse.execute(
                f"create table if not exists raw.{feed.table} "
                f"({columns}, _file text not null, _loaded_at timestamp not null)"
            )


def _known(warehouse: Warehouse, feed: Feed) -> dict[str, str]:
    query = "select file, content_hash from raw._loads where feed = ?"
    return dict(warehouse.fetch(query, [feed.table])[1])


def _replace(warehouse: Warehouse, feed: Feed, file: File, rows: list[Row], *, run_id: str) -> None:
    now = _now()
    with warehouse.transaction():
        warehouse.execute(f"delete from raw.{feed.table} where _file = ?", [file.name])
        for chunk in _chunks(rows):
            one = "(" + ", ".join("?" * (len(feed.columns) + 2)) + ")"
            warehouse.execute(
                f"insert into raw.{feed.table} ({', '.join(feed.columns)}, _file, _loaded_at) "
                f"values {', '.join([one] * len(chunk))}",
                [value for row in chunk for value in (*row, file.name, now)],
            )
        warehouse.execute(
            "delete from raw._loads where feed = ? and file = ?", [feed.table, file.name]
        )
        warehouse.execute(
            "insert into raw._loads "
            "(feed, file, content_hash, row_count, run_id, loaded_at, checked_at) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            [feed.table, file.name, file.hash, len(rows), run_id, now, now],
        )


def _checked(warehouse: Warehouse, feed: Feed) -> None:
    # Freshness reads this: a feed that delivered nothing new is quiet, one nobody asked is stale.
    warehouse.execute("update raw._loads set checked_at = ? where feed = ?", [_now(), feed.table])


def _chunks(rows: list[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def _now() -> datetime:
    # Without a zone, which is how dbt understands UTC on both warehouses.
    return datetime.now(UTC).replace(tzinfo=None)
