"""Which partitions are built, as far as what was written of intervals says it.

What was written last of a moment counts. Nothing that is unknown, half built or of a run that
nobody drives any more is taken for built.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from dbtorch.core.model.graph import Kind
from dbtorch.core.model.interval import Interval

if TYPE_CHECKING:
    from dbtorch.core.schedule.partition import Partition


class Built(StrEnum):
    """What was written of an interval of a node."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Status(StrEnum):
    """How a partition stands."""

    RUNNING = "running"  # a run that goes on builds it
    FAILED = "failed"  # the last run of it failed, was cancelled, or was lost
    MISSING = "missing"  # nothing was written of it, or not of all of it
    LATE = "late"  # built, and to be built again as newer ones are over (lookback)
    STALE = "stale"  # built with other code than there is now
    DONE = "done"


#: Statuses of what has been built to its end.
COMPLETE = (Status.LATE, Status.STALE, Status.DONE)

#: What counts where several nodes are asked about, the worst first.
_WORST = (*Status,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What was written last of one interval of one node."""

    node_id: str
    interval: Interval
    built: Built
    run_id: str
    checksum: str  # of the code; empty where nobody knows
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStatus:
    """How one partition stands."""

    partition: Partition
    status: Status
    late: bool = False  # built, and to be built again as newer ones are over (lookback)
    run_id: str = ""  # that wrote of it last
    at: datetime | None = None  # when; None: nothing was written
    nodes: tuple[str, ...] = ()  # that are why it is not done, by id


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the ledger is asked about."""

    checksums: Mapping[str, str]  # of the code as it is now, by node; empty: nobody knows
    drives: Callable[[str], bool]  # whether somebody executes a run at this moment
    lookback: int = 0
    run: str = ""  # node that stands for whole runs, which must have succeeded as well


@dataclass(frozen=True, slots=True)
class _Of:
    """How a partition of one node stands."""

    status: Status
    last: Entry | None = None
    since: datetime | None = None  # when the oldest of what it is made of was written


def statuses(
    partitions: Sequence[Partition], entries: Iterable[Entry], asked: Asked
) -> list[PartitionStatus]:
    """How each partition stands, of the nodes asked about; ``partitions`` adjoin, oldest first."""
    by_node: dict[str, list[Entry]] = {}
    for entry in entries:
        by_node.setdefault(entry.node_id, []).append(entry)
    wanted = {**({asked.run: ""} if asked.run else {}), **asked.checksums}
    found = {
        id: [
            _of_node(pieces, asked, checksum) for pieces in _pieces(partitions, by_node.get(id, ()))
        ]
        for id, checksum in wanted.items()
    }
    return [
        _together(partition, {id: of[place] for id, of in found.items()}, asked, due)
        for place, (partition, due) in enumerate(_with_due(partitions, asked.lookback))
    ]


def _with_due(
    partitions: Sequence[Partition], lookback: int
) -> Iterator[tuple[Partition, datetime | None]]:
    """Partitions, and after when each is to be built once more for what came late."""
    for place, partition in enumerate(partitions):
        after = min(place + lookback, len(partitions) - 1)
        yield partition, partitions[after].end if after > place else None


def _together(
    partition: Partition, found: Mapping[str, _Of], asked: Asked, due: datetime | None
) -> PartitionStatus:
    """How a partition of several nodes stands: as the worst of them does."""
    single = _with_run({id: of.status for id, of in found.items()}, asked.run)
    status = min(single.values(), key=_WORST.index, default=Status.MISSING)
    since = min((of.since for of in found.values() if of.since), default=None)
    late = status in COMPLETE and due is not None and since is not None and since < due
    written = [of.last for of in found.values() if of.last is not None]
    last = max(written, key=lambda entry: entry.at, default=None)
    return PartitionStatus(
        partition=partition,
        status=Status.LATE if late and status is Status.DONE else status,
        late=late,
        run_id=last.run_id if last is not None else "",
        at=last.at if last is not None else None,
        nodes=tuple(
            id for id, one in single.items() if one is status and status is not Status.DONE
        ),
    )


def _with_run(single: dict[str, Status], run: str) -> dict[str, Status]:
    """What a whole run says of its nodes: a model that it has not built came with newer code.

    A step that it has not executed had nothing to do.
    """
    if not run:
        return single
    if single[run] not in COMPLETE:
        return {run: single[run]}
    added = {Status.MISSING: Status.STALE}
    return {
        id: Status.DONE
        if Kind.of(id) is Kind.STEP and one is Status.MISSING
        else added.get(one, one)
        for id, one in single.items()
    }


def _of_node(pieces: Sequence[Entry | None], asked: Asked, checksum: str) -> _Of:
    """How a partition stands of whose pieces this was written last."""
    known = [entry for entry in pieces if entry is not None]
    if not known:
        return _Of(Status.MISSING)
    running = [entry for entry in known if entry.built is Built.RUNNING]
    status = Status.DONE
    if any(asked.drives(entry.run_id) for entry in running):
        status = Status.RUNNING
    elif running or any(entry.built is Built.FAILED for entry in known):
        status = Status.FAILED
    elif len(known) < len(pieces):
        status = Status.MISSING
    elif checksum and any(entry.checksum not in ("", checksum) for entry in known):
        status = Status.STALE
    return _Of(status, max(known, key=lambda entry: entry.at), min(entry.at for entry in known))


def _pieces(
    partitions: Sequence[Partition], entries: Sequence[Entry]
) -> Iterator[list[Entry | None]]:
    """For each partition what was written last of each of its pieces; None: nothing was."""
    edges = {at for one in partitions for at in (one.start, one.end)}
    edges |= {at for one in entries for at in (one.interval.start, one.interval.end) if at}
    order = sorted(edges)
    written: list[Entry | None] = [None] * len(order)
    free = list(range(len(order) + 1))  # from each piece, the next one that nothing is known of
    for entry in sorted(entries, key=lambda entry: entry.at, reverse=True):
        start = entry.interval.start
        place = _next(free, 0 if start is None else bisect_left(order, start))
        until = bisect_left(order, entry.interval.end)
        while place < until:
            written[place], free[place] = entry, place + 1
            place = _next(free, place)
    for partition in partitions:
        yield written[bisect_left(order, partition.start) : bisect_left(order, partition.end)]


def _next(free: list[int], place: int) -> int:
    while free[place] != place:
        free[place] = free[free[place]]
        place = free[place]
    return place
