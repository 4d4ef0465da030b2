"""Exports the weekly KPIs as a file, for everybody who lives in spreadsheets."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ingestion.warehouse import connect


def export(context: Any) -> dict[str, int | str]:
    """Write ``exports/<logical date>/weekly_kpis.csv``; a second run writes the same file again."""
    mart = '"{database}"."{schema}".fct_weekly_kpis'.format(**context.target)
    with connect(context, read_only=True) as warehouse:
        columns, rows = warehouse.fetch(f"select * from {mart} order by week_start_date")
    project_dir = Path(context.project_dir)
    file = project_dir / "exports" / f"{context.logical_date:%Y-%m-%d}" / "weekly_kpis.csv"
    _write(file, columns, rows)
    return {"rows": len(rows), "file": file.relative_to(project_dir).as_posix()}


def _write(file: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Nobody ever sees half a file: it is written beside its place and moved there at once.
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=".weekly_kpis.")
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
        Path(draft).chmod(0o644)
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
