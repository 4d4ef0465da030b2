"""A pipeline's schedule where somebody else tells the time, and knows nothing but cron."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dbtorch.adapters.cron import NoTick, Ticks
from dbtorch.adapters.cron_fields import every, in_utc
from dbtorch.adapters.partitions import Partitions
from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import UsageError
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.partition import Partition
from dbtorch.core.schedule.schedule import Schedule

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class CronTimes:
    """A schedule as cron expressions, and which of the times that they name are its own."""

    schedule: Schedule

    @property
    def crons(self) -> tuple[str, ...]:
        """What cron is told: `every` is looked at each minute."""
        return self.schedule.crons or ("* * * * *",)

    def stands_for(self, at: datetime) -> Interval | None:
        """What a run stands for that cron starts at a time; None where the schedule has no tick.

        By the clock of its zone, as schedulers differ in which of two equal hours they take.
        """
        ticks = Ticks(self.schedule)
        try:
            last = ticks.at_or_before(at)
            due = at - last < _MINUTE or self._clock(at) == self._clock(last)
            return ticks.interval(last) if due else None
        except NoTick:
            return None

    def _clock(self, at: datetime) -> datetime:
        shown = at.astimezone(ZoneInfo(self.schedule.timezone))
        return shown.replace(second=0, microsecond=0, tzinfo=None)


def since(schedule: Schedule) -> datetime:
    """From when on `every` counts, in UTC."""
    start = schedule.start_date or datetime(1970, 1, 1, tzinfo=ZoneInfo(schedule.timezone))
    return start.astimezone(UTC)


def cron_of_every(schedule: Schedule) -> str | None:
    """The cron expression by UTC's clock that ticks as `every` does; None where there is none."""
    began = since(schedule)
    minutes, rest = divmod(schedule.every or 0.0, 60)
    if rest or began.second or not minutes or 1440 % minutes:
        return None
    found = [
        cron
        for midnight in every(int(minutes))
        for cron in in_utc(midnight, -began.hour * 60 - began.minute)
    ]
    return found[0] if len(found) == 1 else None


def partition_at(pipeline: PipelineSpec, at: datetime) -> Partition:
    """The last partition of a pipeline that is over at a time. Raises `UsageError`."""
    return _partitions(pipeline).last(at)


def partition_from(pipeline: PipelineSpec, first: datetime, last: datetime) -> Partition:
    """What a run is for that somebody else wants of the partitions that begin at two times.

    And of all between them. Raises `UsageError`.
    """
    partitions = _partitions(pipeline)
    return partitions.holding(first).through(partitions.holding(last))


def _partitions(pipeline: PipelineSpec) -> Partitions:
    if pipeline.partition is None:
        raise UsageError(f"pipeline {pipeline.name} has no partitions: give it `partition:`")
    return Partitions(pipeline.partition, f"pipeline {pipeline.name}")
