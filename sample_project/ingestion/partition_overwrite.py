"""Partition overwrite: delete a partition and insert it again, in one transaction.

**When:** the delivery comes in parts that are complete in themselves, such as a month of orders or
a week of events, and a part that comes again replaces what it was. Here a partition is a file of
the feed, and ``_file`` the column that says so; where you fetch by time instead, it is the data
interval of the run: ``where ordered_at >= context.data_interval_start and ordered_at < …end``.

**Why it is safe:** what is deleted is what is inserted, so landing a partition twice leaves what
landing it once does, corrections and vanished rows included. Killed before ``commit``, nothing has
happened; killed after it, the ledger knows. Partitions before the kill stay, those after it are
landed by the next attempt.

**Not for** rows that move between partitions (an order that comes again in next month's file is in
both): the staging model keeps the latest version, or use `merge`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingestion import ledger
from ingestion.feeds import Feed, File, Row
from ingestion.warehouse import Warehouse, connect, now


def load(context: Any, *feeds: Feed) -> dict[str, int]:
    """Land the partitions of these feeds that are new or have changed; answer how much that was."""
    answer = {"rows": 0, "files": 0, "unchanged": 0}
    with connect(context) as warehouse:
        ledger.prepare(warehouse, *feeds)
        for feed in feeds:
            known, files = ledger.known(warehouse, feed), feed.files(Path(context.project_dir))
            fresh = [file for file in files if known.get(file.name) != file.hash]
            for file in fresh:
                rows = feed.rows(file)
                overwrite(warehouse, feed, file, rows, run_id=context.run_id)
                answer["rows"] += len(rows)
                print(f"{file.name}: {len(rows)} rows")
            ledger.checked(warehouse, feed)
            answer["files"] += len(fresh)
            answer["unchanged"] += len(files) - len(fresh)
    return answer


def overwrite(
    warehouse: Warehouse, feed: Feed, partition: File, rows: list[Row], *, run_id: str
) -> None:
    """Replace one partition, whole or not at all."""
    at = now()
    with warehouse.transaction():
        warehouse.execute(f"delete from raw.{feed.table} where _file = ?", [partition.name])
        warehouse.insert(
            f"raw.{feed.table}",
            (*feed.columns, "_file", "_loaded_at"),
            [(*row, partition.name, at) for row in rows],
        )
        ledger.landed(warehouse, feed, partition, len(rows), run_id=run_id)
