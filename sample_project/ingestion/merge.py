"""Merge: update the rows whose key is there, insert the others, and let the newer version win.

**When:** each delivery holds what is new or has changed, and rows have a key and a time of their
last change, such as customers out of a CRM. The table has one row for each key.

**Why it is safe:** a row replaces another only when it is not older, so it does not matter whether
a delivery is merged once, twice, or after a later one: the newest version stays. Two versions of
the same time are ordered by their file's name, or two runs could disagree. All of one delivery is
one transaction; killed before ``commit``, nothing has happened.

**Not for** deletions: a key that is delivered no more keeps its row. Send a mark with the row, or
use `swap` with a full snapshot.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingestion import ledger
from ingestion.feeds import Feed, File, Row
from ingestion.warehouse import Warehouse, connect, now


def load(context: Any, feed: Feed, *, key: str, changed_at: str) -> dict[str, int]:
    """Merge the deliveries of a feed that are new or have changed; answer how much that was.

    ``changed_at`` is a column of ISO times: they sort as text.
    """
    answer = {"rows": 0, "files": 0, "unchanged": 0}
    with connect(context) as warehouse:
        ledger.prepare(warehouse, feed)
        known, files = ledger.known(warehouse, feed), feed.files(Path(context.project_dir))
        fresh = [file for file in files if known.get(file.name) != file.hash]
        for file in fresh:
            rows = feed.rows(file)
            with warehouse.transaction():
                merge(warehouse, feed, file, rows, key=key, changed_at=changed_at)
                ledger.landed(warehouse, feed, file, len(rows), run_id=context.run_id)
            answer["rows"] += len(rows)
            print(f"{file.name}: {len(rows)} rows")
        ledger.checked(warehouse, feed)
        answer["files"] += len(fresh)
        answer["unchanged"] += len(files) - len(fresh)
    return answer


def merge(
    warehouse: Warehouse, feed: Feed, file: File, rows: list[Row], *, key: str, changed_at: str
) -> None:
    """Merge one delivery into the feed's table. The caller has the transaction."""
    table, columns = f"raw.{feed.table}", (*feed.columns, "_file", "_loaded_at")
    newest = _newest(feed, rows, key=key, changed_at=changed_at)
    at = now()
    # Deleting and inserting is what every warehouse has; MERGE INTO says the same in one statement.
    warehouse.execute("drop table if exists delivery")
    warehouse.execute(f"create temporary table delivery as select * from {table} limit 0")
    warehouse.insert("delivery", columns, [(*row, file.name, at) for row in newest])
    warehouse.execute(
        f"delete from {table} where exists (select 1 from delivery "
        f"where delivery.{key} = {table}.{key} and (delivery.{changed_at}, delivery._file) "
        f">= ({table}.{changed_at}, {table}._file))"
    )
    warehouse.execute(
        f"insert into {table} ({', '.join(columns)}) select {', '.join(columns)} from delivery "
        f"where not exists (select 1 from {table} where {table}.{key} = delivery.{key})"
    )


def _newest(feed: Feed, rows: list[Row], *, key: str, changed_at: str) -> list[Row]:
    """One row for each key, should a delivery hold several: the newest, of equals the last."""
    by_key, by_time = feed.columns.index(key), feed.columns.index(changed_at)
    ordered = sorted(rows, key=lambda row: row[by_time] or "")
    return list({row[by_key]: row for row in ordered}.values())
