"""Staging table and swap: load beside the table, look at it, then exchange the two at once.

**When:** every delivery is all there is, such as the list of exchange rates, and readers must see
the old list or the new one, never a half of either. Also where a wrong delivery must not replace a
right one: the check comes before the swap.

**Why it is safe:** until the swap nobody reads ``raw.<table>__new``, and an attempt begins by
dropping what an earlier one left there. The swap is one transaction that drops the old table,
renames the new one and writes the ledger: killed before ``commit``, the old list stands; killed
after it, the new one does. Doing it twice ends in the same table.

**Not for** warehouses whose DDL commits by itself (there it is one statement: Snowflake's ``alter
table … swap with``, BigQuery's ``create or replace table … copy``). And mind views: on Postgres a
view belongs to the table it was made over, not to the name, and keeps that from being dropped. What
reads a swapped table must be a table itself, as ``stg_ecb__exchange_rates`` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingestion import ledger
from ingestion.feeds import Feed
from ingestion.warehouse import Warehouse, connect, now


def load(context: Any, feed: Feed, *, key: Sequence[str]) -> dict[str, int]:
    """Put all files of a feed in the place of what its table holds, if they are not the same."""
    with connect(context) as warehouse:
        ledger.prepare(warehouse, feed)
        warehouse.lock(f"raw.{feed.table}__new")  # one at a time builds it
        files = feed.files(Path(context.project_dir))
        if ledger.known(warehouse, feed) == {file.name: file.hash for file in files}:
            ledger.checked(warehouse, feed)
            return {"rows": 0, "files": 0, "unchanged": len(files)}
        rows = {file: feed.rows(file) for file in files}
        stage(warehouse, feed, [(*row, file.name) for file in files for row in rows[file]])
        check(warehouse, feed, key)
        with warehouse.transaction():
            swap(warehouse, feed)
            ledger.forget(warehouse, feed)
            for file in files:
                ledger.landed(warehouse, feed, file, len(rows[file]), run_id=context.run_id)
    count = sum(len(found) for found in rows.values())
    print(f"{feed.table}: {count} rows")
    return {"rows": count, "files": len(files), "unchanged": 0}


def stage(warehouse: Warehouse, feed: Feed, rows: Sequence[tuple[str | None, ...]]) -> None:
    """Load everything beside the table, where nobody looks."""
    at = now()
    staging = f"raw.{feed.table}__new"
    with warehouse.transaction():
        warehouse.execute(f"drop table if exists {staging}")
        ledger.create_table(warehouse, staging, feed)
        columns = (*feed.columns, "_file", "_loaded_at")
        warehouse.insert(staging, columns, [(*row, at) for row in rows])


def check(warehouse: Warehouse, feed: Feed, key: Sequence[str]) -> None:
    """Refuse a list that cannot be right; what is there stays there."""
    staging = f"raw.{feed.table}__new"
    query = f"select count(*), count(distinct ({', '.join(key)})) from {staging}"
    [(count, keys)] = warehouse.fetch(query)[1]
    if not count or count != keys:
        raise ValueError(
            f"{staging} has {count} rows for {keys} different ({', '.join(key)}); "
            f"raw.{feed.table} stays as it was, ask the sender"
        )


def swap(warehouse: Warehouse, feed: Feed) -> None:
    """Put the new table in the old one's place. The caller has the transaction."""
    warehouse.execute(f"drop table raw.{feed.table}")
    warehouse.execute(f"alter table raw.{feed.table}__new rename to {feed.table}")
