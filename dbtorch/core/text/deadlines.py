"""Deadlines as people write them: a duration such as ``2h``, or a time of day such as ``08:00``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Any

from dbtorch.core.errors import Refused
from dbtorch.core.model.deadline import DeadlineRule
from dbtorch.core.text import durations

ACCEPTED = 'a deadline is a duration such as "2h" or "90m", or a time of day such as "08:00"'

_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")


def rule(value: Any) -> DeadlineRule:
    """What somebody wrote; `Refused` for all that is no deadline."""
    clock = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if clock is not None:
        try:
            hour, minute, second = (int(part or 0) for part in clock.groups())
            return DeadlineRule(by=time(hour, minute, second))
        except ValueError:
            raise Refused(f"there is no such time of day; {ACCEPTED}") from None
    try:
        within = durations.seconds(value)
    except Refused:
        raise Refused(ACCEPTED) from None
    if within == 0:
        raise Refused(f"expected more than 0 seconds; {ACCEPTED}")
    return DeadlineRule(within=within)


def moment(deadline: DeadlineRule, start: datetime, timezone: str | None) -> datetime:
    """When a run that started then is late, in UTC.

    A time of day is one of the zone, or of this machine without one. A time that a clock change
    skips comes when the clock has moved on; of one that it repeats the first counts.
    """
    if deadline.within is not None:
        return start + timedelta(seconds=deadline.within)
    assert deadline.by is not None
    day = _local(start, timezone).date()
    at = _utc(datetime.combine(day, deadline.by), timezone)
    return at if at > start else _utc(datetime.combine(day + timedelta(1), deadline.by), timezone)


def _local(moment: datetime, timezone: str | None) -> datetime:
    from zoneinfo import ZoneInfo

    return moment.astimezone(ZoneInfo(timezone) if timezone else None)


def _utc(wall: datetime, timezone: str | None) -> datetime:
    from zoneinfo import ZoneInfo

    aware = wall.replace(tzinfo=ZoneInfo(timezone)) if timezone else wall.astimezone()
    return aware.astimezone(UTC)
