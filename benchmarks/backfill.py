"""Ninety days of the sample by a backfill that is killed twice, against ninety single runs.

``python benchmarks/backfill.py [DAYS]``: copies the sample project twice, fills the days of one by
`dbtorch backfill`, whose process and runs are killed after a third and after two thirds, and those
of the other by `dbtorch run --partition`, one after the other; both at the same time. Says how long
each took, and whether every table of the two warehouses is the same. Exits with 1 where one is not,
or where a second backfill finds anything to do.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FIRST = date(2025, 11, 1)

PIPELINE = """
  days:
    select: +per_day
    exclude: "resource_type:test"
    partition: {by: day, start: 2025-11-01}
"""

#: Its batch is the partition: other variables each day would have dbt parse all anew each day.
MODEL = """
{{ config(
    materialized='incremental', incremental_strategy='microbatch',
    event_time='day', batch_size='day', begin='2025-11-01'
) }}
select order_date as day, count(*) as orders, sum(unit_count) as units
from {{ ref('fct_orders') }}
where order_date >= '{{ model.batch.event_time_start }}'
  and order_date < '{{ model.batch.event_time_end }}'
group by all
"""

#: Parts of names of columns that say when something was done.
_WHEN = ("loaded", "dbt_", "started", "finished", "invocation", "checked")


def dbtorch(folder: Path, *words: str) -> list[str]:
    """A command of the dbtorch that runs this."""
    return [sys.executable, "-m", "dbtorch", *words, "--project-dir", str(folder)]


def copied(to: Path) -> Path:
    """The sample with a model and a pipeline that have days."""
    left_out = shutil.ignore_patterns(".dbtorch", "target", "logs", "*.duckdb")
    shutil.copytree(REPOSITORY / "profiles", to / "profiles")
    folder = to / "sample_project"
    shutil.copytree(REPOSITORY / "sample_project", folder, ignore=left_out)
    written = (folder / "dbtorch.yml").read_text()
    (folder / "dbtorch.yml").write_text(
        written.replace("\npipelines:\n", f"\npipelines:{PIPELINE}")
    )
    (folder / "models" / "per_day.sql").write_text(MODEL)
    return folder


def killed(folder: Path, process: subprocess.Popen[bytes], done: int) -> None:
    """Kill the backfill and its run once so many days are done."""
    while process.poll() is None and counts(folder).get("done", 0) < done:
        time.sleep(0.2)
    if process.poll() is not None:
        sys.exit(f"the backfill ended before it was killed, with exit code {process.returncode}")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with sqlite3.connect(folder / ".dbtorch" / "dbtorch.db") as history:
        found = history.execute("SELECT pid FROM dbtorch_leases WHERE name LIKE '%/days/%'")
        for pid in {row[0] for row in found}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    history.close()


def counts(folder: Path) -> dict[str, int]:
    """How many days of the backfill are in which state."""
    path = folder / ".dbtorch" / "dbtorch.db"
    if not path.exists():
        return {}
    try:
        with sqlite3.connect(path, timeout=10) as history:
            query = "SELECT state, count(*) FROM dbtorch_backfill_parts GROUP BY state"
            found = dict(history.execute(query).fetchall())
        history.close()
    except sqlite3.OperationalError:  # its tables are just being made
        return {}
    return found


def filled(folder: Path, last: date, days: int) -> float:
    """Seconds of a backfill that is killed twice."""
    began = time.monotonic()
    words = ["backfill", "days", "--from", str(FIRST), "--to", str(last)]
    for done in (max(1, days // 3), max(1, 2 * days // 3)):
        process = subprocess.Popen(dbtorch(folder, *words), stdout=subprocess.DEVNULL, cwd=folder)
        killed(folder, process, done)
        words = ["backfills", "resume", "days"]
    subprocess.run(dbtorch(folder, *words), check=True, stdout=subprocess.DEVNULL, cwd=folder)
    return time.monotonic() - began


def one_by_one(folder: Path, days: int) -> float:
    """Seconds of single runs."""
    began = time.monotonic()
    for number in range(days):
        key = str(FIRST + timedelta(days=number))
        words = dbtorch(folder, "run", "-q", "--pipeline", "days", "--partition", key)
        subprocess.run(words, check=True, cwd=folder)
    return time.monotonic() - began


def tables(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table of a warehouse, sorted; columns that say when something was done left out."""
    import duckdb

    found = {}
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as warehouse:
        columns = warehouse.execute(
            "select table_schema, table_name, column_name from information_schema.columns"
            " where table_schema like 'shop%' and table_name not like '%audit%' order by all"
        ).fetchall()
        for table in sorted({(schema, name) for schema, name, _ in columns}):
            kept = [
                f'"{column}"'
                for *of, column in columns
                if tuple(of) == table and not any(part in column for part in _WHEN)
            ]
            if kept:
                query = f'select {", ".join(kept)} from "{table[0]}"."{table[1]}"'
                found[".".join(table)] = sorted(warehouse.execute(query).fetchall(), key=repr)
    return found


def main(days: int) -> int:
    """Both, side by side."""
    last = FIRST + timedelta(days=days - 1)
    with tempfile.TemporaryDirectory() as scratch:
        one, other = (copied(Path(scratch) / name) for name in ("filled", "single"))
        with ThreadPoolExecutor(2) as both:  # beside each other, so that both have the same machine
            work = {
                "backfill, killed twice": both.submit(filled, one, last, days),
                "single runs": both.submit(one_by_one, other, days),
            }
        took = {name: done.result() for name, done in work.items()}
        mine, theirs = tables(one), tables(other)
        differ = [
            name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)
        ]
        again = subprocess.run(
            dbtorch(one, "backfill", "days", "--from", str(FIRST), "--to", str(last)),
            capture_output=True,
            text=True,
            check=False,
            cwd=one,
        )
        nothing = "there is nothing to do" in again.stdout + again.stderr
        print(
            json.dumps(
                {
                    "days": days,
                    "seconds": {name: round(seconds, 1) for name, seconds in took.items()},
                    "parts": counts(one),
                    "tables": len(mine),
                    "tables_that_differ": sorted(differ),
                    "nothing_to_do_the_second_time": nothing,
                },
                indent=2,
            )
        )
    return 1 if differ or not nothing else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 90))
