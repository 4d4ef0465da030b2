"""Partitions as a calendar for people, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date

from dbtorch.cli.text.colour import PLAIN, Colours
from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import SCHEMA_VERSION, to_json
from dbtorch.core.schedule.coverage import PartitionStatus, Status
from dbtorch.core.schedule.partition import Grain
from dbtorch.core.text.phrases import and_more
from dbtorch.service.schedule.partitions import PartitionTable

#: Status -> its mark on the calendar, its colour, and what it means.
_MARKS = {
    Status.DONE: ("#", "green", "done"),
    Status.STALE: ("o", "yellow", "done by older code"),
    Status.LATE: ("l", "yellow", "late data"),
    Status.MISSING: (".", "dim", "missing"),
    Status.FAILED: ("x", "red", "failed"),
    Status.RUNNING: (">", "cyan", "running"),
}

#: Partitions that are listed one by one below the calendar.
_LISTED = 20

#: Nodes that are named of each.
_NAMED = 3


def partitions_text(found: PartitionTable, colours: Colours = PLAIN) -> str:
    """A calendar with a mark for each partition, and the newest that are not done."""
    if not found.found:
        return f"no partition of {found.of} is over yet"
    counts = Counter(one.status for one in found.found)
    legend = ", ".join(
        f"{colours(mark, colour)} {counts[status]} {what}"
        for status, (mark, colour, what) in _MARKS.items()
        if counts[status]
    )
    lines = [f"{found.of} by {found.by} ({found.timezone}), target {found.target}: {legend}", ""]
    lines += _calendar(found, colours)
    open = [one for one in reversed(found.found) if one.status is not Status.DONE]
    if open:
        rows = [
            [one.partition.key, _MARKS[one.status][2], one.run_id, _because(one)]
            for one in open[:_LISTED]
        ]
        lines += ["", *table(("PARTITION", "IS", "LAST RUN", "BECAUSE OF"), rows)]
    if len(open) > _LISTED:
        lines.append(f"and {len(open) - _LISTED} more; --format json has all")
    return "\n".join(lines)


def _because(one: PartitionStatus) -> str:
    names = tuple(id.rpartition(".")[2] for id in one.nodes[:_NAMED])
    return and_more(names, len(one.nodes))


def _calendar(found: PartitionTable, colours: Colours) -> Iterator[str]:
    lines: dict[str, list[str]] = {}
    for one in found.found:
        label, place = _place(found.by, one.partition.key)
        marks = lines.setdefault(label, [" "] * place)
        mark, colour, _ = _MARKS[one.status]
        marks.append(colours(mark, colour))
    for label, marks in lines.items():
        yield f"{label}  {''.join(marks)}"


def _place(by: Grain, key: str) -> tuple[str, int]:
    """The line of a partition, and where on it the first one stands."""
    match by:
        case Grain.HOUR:
            return key[:10], int(key[11:13])
        case Grain.DAY:
            return key[:7], int(key[8:10]) - 1
        case Grain.WEEK:
            return key[:4], (date.fromisoformat(key).timetuple().tm_yday - 1) // 7
        case Grain.MONTH:
            return key[:4], int(key[5:7]) - 1


def partitions_json(found: PartitionTable) -> str:
    """The same for programs, all of them."""
    said = {
        "schema_version": SCHEMA_VERSION,
        "of": found.of,
        "by": found.by.value,
        "timezone": found.timezone,
        "target": found.target,
        "place": found.place,
        "partitions": [
            {
                "partition": one.partition.key,
                "data_interval_start": one.partition.start.isoformat(),
                "data_interval_end": one.partition.end.isoformat(),
                "status": one.status.value,
                "late": one.late,
                "run_id": one.run_id or None,
                "written_at": one.at.isoformat() if one.at is not None else None,
                "nodes": list(one.nodes),
            }
            for one in found.found
        ],
    }
    return to_json(said, indent=2)
