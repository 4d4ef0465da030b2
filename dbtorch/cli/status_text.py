"""How a project stands, as text and JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from dbtorch.cli.render.colour import colours_for
from dbtorch.cli.render.table import table
from dbtorch.cli.render.words import many
from dbtorch.core.freshness import age_told, span
from dbtorch.core.standing import Health, Item, Standing

_HEAD = ("WHAT", "HEALTH", "AGE", "ALLOWED", "WHY")

#: Lines for what is well and has no limit; the others are counted.
_LISTED = 20

_COLOURS = {
    Health.OK: "success",
    Health.LATE: "warn",
    Health.STALE: "failed",
    Health.FAILED: "failed",
    Health.UNKNOWN: "skipped",
}


def as_text(
    project: str, standing: Standing, items: Sequence[Item], *, complete: bool = True
) -> Iterator[str]:
    """A table. ``complete`` says whether dbt's manifest has named what there is."""
    target = f" on target {standing.target}" if standing.target else ""
    yield f"Project {project}{target}: {_verdict(items)}"
    if not complete:
        yield "There is no manifest.json of dbt: shown is what the last runs were about."
    plain = [item for item in items if item.health is Health.OK and item.limit is None]
    left_out = {item.id for item in plain if item.kind not in ("pipeline", "source")}
    left_out -= {item.id for item in plain[:_LISTED]}
    shown = [item for item in items if item.id not in left_out]
    rows = [
        [
            item.label,
            item.health.value,
            age_told(item.age),
            span(item.limit) if item.limit is not None else "-",
            item.why,
        ]
        for item in shown
    ]
    colours = colours_for(sys.stdout, os.environ)

    def paint(row: int, column: int, text: str) -> str:
        return colours.state(text, _COLOURS[shown[row].health]) if column == 1 else text

    if rows:
        yield ""
        yield from table(_HEAD, rows, right=frozenset({2, 3}), paint=paint)
    if left_out:
        yield f"\n{many(len(left_out), 'mart')} without max_age not shown; --format json has all"


def _verdict(items: Sequence[Item]) -> str:
    bad = sum(item.healthy is False for item in items)
    unknown = sum(item.healthy is None for item in items)
    nobody_knows = f", {unknown} unknown" if unknown else ""
    if bad:
        return f"{bad} of {many(len(items), 'thing')} not well{nobody_knows}"
    good = many(len(items) - unknown, "thing")
    return f"{good} well{nobody_knows}" if unknown else "all is well"


def as_json(project: str, standing: Standing, items: Sequence[Item], now: datetime) -> str:
    """Everything, pipelines and sources apart from what is built."""
    kinds = {"pipelines": "pipeline", "sources": "source"}
    built = [item for item in items if item.kind not in kinds.values()]
    said: dict[str, Any] = {
        "project": project,
        "target": standing.target or None,
        "at": now.isoformat(),
        "healthy": _healthy(items),
    }
    for name, kind in kinds.items():
        said[name] = [_one(item) for item in items if item.kind == kind]
    said["nodes"] = [_one(item) for item in built]
    return json.dumps(said, indent=2)


def _healthy(items: Sequence[Item]) -> bool | None:
    """None when nothing is known to be wrong, and not everything is known."""
    said = {item.healthy for item in items}
    return False if False in said else None if None in said else True


def _one(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "kind": item.kind,
        "name": item.name,
        "health": item.health.value,
        "healthy": item.healthy,
        "age_seconds": item.age,
        "allowed_seconds": item.limit,
        "since": item.since.isoformat() if item.since is not None else None,
        "checked_at": item.checked_at.isoformat() if item.checked_at is not None else None,
        "why": item.why or None,
    }
