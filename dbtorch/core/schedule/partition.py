"""Partitions: the adjoining intervals that a pipeline's or a model's data is kept in."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from dbtorch.core.keys import Between, Duration, key
from dbtorch.core.model.interval import Interval


class Grain(StrEnum):
    """How long a partition is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"  # from Monday
    MONTH = "month"


#: What the offset of partitions is shorter than: every month has so many days.
LONGEST_OFFSET = {
    Grain.HOUR: timedelta(hours=1),
    Grain.DAY: timedelta(days=1),
    Grain.WEEK: timedelta(days=7),
    Grain.MONTH: timedelta(days=28),
}

#: Between the first and the last key of several partitions that one run is for.
UNTIL = ".."


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpec:
    """Which partitions there are, as ``dbtorch.yml`` says it."""

    by: Grain = field(metadata=key("How long a partition is.", example="day"))
    start: datetime = field(
        metadata=key(
            "Where the first one begins, at the earliest; in the zone where it names none.",
            example="2026-01-01",
        )
    )
    timezone: Annotated[str, "time zone"] = field(
        default="UTC",
        metadata=key(
            "Zone by whose clock they begin, summer time included.", example="Europe/Berlin"
        ),
    )
    offset: Duration = field(
        default=0.0,
        metadata=key(
            "How long after the hour, midnight, Monday or the first of a month they begin.",
            default="none",
            example="6h",
        ),
    )
    lookback: Annotated[int, Between(0, 1000)] = field(
        default=0,
        metadata=key(
            "Late data: so many partitions before the newest one are run again after it. See"
            " [Late data](scheduling.md#late-data).",
            example="3",
        ),
    )

    @property
    def cron(self) -> str:
        """The times at which they begin, by the clock of the zone."""
        minutes = int(self.offset // 60)
        days, rest = divmod(minutes, 24 * 60)
        hour, minute = divmod(rest, 60)
        match self.by:
            case Grain.HOUR:
                return f"{minute} * * * *"
            case Grain.DAY:
                return f"{minute} {hour} * * *"
            case Grain.WEEK:
                return f"{minute} {hour} * * {(1 + days) % 7}"
            case Grain.MONTH:
                return f"{minute} {hour} {1 + days} * *"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition, or several in a row."""

    key: str  # 2026-11-01T05, 2026-11-01, 2026-11; of several "first..last"
    interval: Interval

    @property
    def start(self) -> datetime:
        """Where it begins."""
        assert self.interval.start is not None
        return self.interval.start

    @property
    def end(self) -> datetime:
        """Where it ends, which does not belong to it."""
        return self.interval.end

    def through(self, last: "Partition") -> "Partition":
        """All from this one to another one, in one."""
        if last == self:
            return self
        first, last_key = self.key.partition(UNTIL)[0], last.key.rpartition(UNTIL)[2]
        return Partition(f"{first}{UNTIL}{last_key}", Interval(self.start, last.end))
