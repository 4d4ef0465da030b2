"""How a project stands, as text and JSON."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from dbtorch.cli.text.colour import colours_for
from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import document
from dbtorch.core.history.health import PIPELINE, Health, Item
from dbtorch.core.model.freshness import age_told, span
from dbtorch.core.model.graph import Kind
from dbtorch.core.text.phrases import many
from dbtorch.service.health.health import ProjectHealth
from dbtorch.service.health.owners import Notified

_HEAD = ("WHAT", "HEALTH", "AGE", "ALLOWED", "WHY")

#: Lines for what is well and has no limit; the others are counted.
_LISTED = 20

_COLOURS = {
    Health.OK: "success",
    Health.LATE: "warn",
    Health.STALE: "failed",
    Health.GATED: "gated",
    Health.FAILED: "failed",
    Health.UNKNOWN: "skipped",
}


def status_text(found: ProjectHealth) -> Iterator[str]:
    """A table."""
    standing, items = found.standing, found.items
    target = f" on target {standing.target}" if standing.target else ""
    yield f"Project {found.project}{target}: {_verdict(items)}"
    if standing.target and not standing.runs:
        yield (
            f"Nothing has been run on target {standing.target} yet: it is not known to be well"
            " (`dbtorch runs` lists what has been run, and where)."
        )
    if not found.complete:
        yield "There is no manifest.json of dbt: shown is what the last runs were about."
    plain = [item for item in items if item.health is Health.OK and item.limit is None]
    left_out = {item.id for item in plain if item.kind not in (PIPELINE, Kind.SOURCE)}
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
        yield f"\n{many(len(left_out), 'node')} without max_age not shown; --format json has all"


#: The order in which health is counted: what needs a look comes first.
_COUNTED = (
    Health.FAILED,
    Health.STALE,
    Health.GATED,
    Health.LATE,
    Health.UNKNOWN,
    Health.OK,
)


def _verdict(items: Sequence[Item]) -> str:
    """In the words of the table: ``1 failed, 2 stale, 5 ok``."""
    counts = Counter(item.health for item in items)
    if counts.keys() <= {Health.OK}:
        return "all ok"
    return ", ".join(f"{counts[health]} {health}" for health in _COUNTED if counts[health])


def status_json(found: ProjectHealth) -> str:
    """Everything, pipelines and sources apart from what is built."""
    items = found.items
    kinds = {"pipelines": PIPELINE, "sources": Kind.SOURCE}
    built = [item for item in items if item.kind not in kinds.values()]
    said: dict[str, Any] = {
        "project": found.project,
        "target": found.standing.target or None,
        "at": found.at.isoformat(),
        "healthy": found.healthy,
    }
    for name, kind in kinds.items():
        said[name] = [_one(item) for item in items if item.kind == kind]
    said["nodes"] = [_one(item) for item in built]
    return document(**said)


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


def notified_text(done: Notified) -> Iterator[str]:
    """What became of telling owners."""
    if done.silent:
        yield done.silent
        return
    for name, why in done.off.items():
        yield f"alerts.{name} is off: {why}"
    for place, why in done.refused:
        yield f"{place}: not sent, {why}"
    waits = f", {many(done.waiting, 'message')} left in the outbox" if done.waiting else ""
    yield f"alerts sent about {many(done.things, 'item')}{waits}"
