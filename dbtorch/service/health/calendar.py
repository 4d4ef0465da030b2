"""Which partitions of each pipeline are built, and how far its backfill is, without asking dbt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from dbtorch.adapters.partitions import Partitions
from dbtorch.core.config import Config
from dbtorch.core.errors import UsageError
from dbtorch.core.schedule.backfill import Backfill
from dbtorch.core.schedule.coverage import Asked, PartitionStatus, Status, statuses
from dbtorch.core.schedule.partition import Grain
from dbtorch.core.schedule.written import pipeline_id
from dbtorch.ports.store import Store

#: Partitions that are shown, the newest: a week of hours, half a year of days, two years of weeks.
_SHOWN = {Grain.HOUR: 24 * 7, Grain.DAY: 7 * 26, Grain.WEEK: 104, Grain.MONTH: 60}

#: Columns where a row is no week and no day.
_WIDE = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A partition at its place."""

    of: PartitionStatus
    column: int
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The newest partitions of a pipeline, as whole runs of it say they stand."""

    by: Grain
    found: tuple[PartitionStatus, ...]  # the oldest first
    backfill: Backfill | None = None  # one that is not over

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many stand how."""
        return Counter(one.status for one in self.found)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Days in columns of a week, hours in rows of a day, others one after the other."""
        return tuple(self._cells())

    def _cells(self) -> Iterator[Cell]:
        first: date | None = None
        for place, one in enumerate(self.found):
            if self.by in (Grain.HOUR, Grain.DAY):
                day = date.fromisoformat(one.partition.key[:10])
                first = first or day
                since = (day - first).days
                if self.by is Grain.HOUR:
                    yield Cell(of=one, column=int(one.partition.key[11:13]), row=since)
                else:
                    week, weekday = divmod(since + first.weekday(), 7)
                    yield Cell(of=one, column=week, row=weekday)
            else:
                yield Cell(of=one, column=place % _WIDE, row=place // _WIDE)


def calendars(store: Store, config: Config, target: str, now: datetime) -> dict[str, Calendar]:
    """Of each pipeline that has partitions. Raises `StoreError`."""
    found: dict[str, Calendar] = {}
    ledger, place = None, store.identity.place(target)
    backfills = {one.key.pipeline: one for one in store.backfills()}
    for name, pipeline in config.pipelines.items():
        if pipeline.partition is None:
            continue
        try:
            partitions = Partitions(pipeline.partition, f"pipeline {name}")
            known = partitions.known(now, most=_SHOWN[pipeline.partition.by])
        except UsageError:
            continue  # what is wrong with them is said where the configuration is checked
        ledger, run = ledger or store.ledger(), pipeline_id(name)
        entries = (
            store.entries(place, [run], since=known[0].start, until=known[-1].end) if known else []
        )
        asked = Asked(checksums={}, drives=ledger.drives, run=run)
        asked_of = tuple(statuses(known, entries, asked))
        found[name] = Calendar(
            by=pipeline.partition.by, found=asked_of, backfill=backfills.get(name)
        )
    return found
