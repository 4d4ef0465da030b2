"""Which interval of a schedule a run stands for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbtorch.core.config import Schedule

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


def interval(schedule: Schedule | None, logical_date: datetime) -> tuple[datetime, datetime]:
    """Start and end, in UTC, of the data interval of a run.

    With a schedule: from the last tick at or before the logical date to the tick after it. Without
    one the interval has no width. Ticks are wall-clock times of the schedule's time zone: a time
    that a clock change skips happens when the clock has moved on, one that it repeats happens once.
    """
    if schedule is None:
        return logical_date, logical_date
    from zoneinfo import ZoneInfo

    from croniter import croniter

    zone = ZoneInfo(schedule.timezone)
    local = logical_date.astimezone(zone).replace(tzinfo=None)
    ticks = croniter(schedule.cron, local)
    at_or_before = local if croniter.match(schedule.cron, local) else ticks.get_prev(datetime)
    after = croniter(schedule.cron, at_or_before).get_next(datetime)
    return _utc(at_or_before, zone), _utc(after, zone)


def _utc(wall: datetime, zone: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=zone).astimezone(UTC)
