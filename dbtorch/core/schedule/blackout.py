"""Windows in which nothing starts, by the clock of a schedule's zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from dbtorch.core.errors import Refused

ACCEPTED = (
    'expected a window such as "22:00-06:00", "sat,sun", "mon-fri 08:00-18:00" or'
    ' "2026-12-24/2027-01-01"'
)

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_WRITTEN = re.compile(
    r"(?:(?P<first>\d{4}-\d\d-\d\d)(?:/(?P<last>\d{4}-\d\d-\d\d))?)?\s*"
    r"(?P<days>[a-z]{3}(?:[,-][a-z]{3})*)?\s*"
    r"(?:(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blackout:
    """One window: on these days, between these times; one past midnight is of the day before."""

    days: frozenset[int] = frozenset(range(7))  # 0 is Monday
    first: date = date.min
    last: date = date.max  # included
    start: time = time.min
    end: time = time.min  # not included; not after the start: on the next day

    def around(self, wall: datetime) -> tuple[datetime, datetime] | None:
        """Since and until when it lasts at a time that a clock shows; None: it does not."""
        at, today = wall.time(), wall.date()
        over_midnight = self.end <= self.start
        first = today - _DAY if over_midnight and at < self.start and today > date.min else today
        start = datetime.combine(first, self.start)
        end = datetime.combine(first + over_midnight * _DAY, self.end)
        return (start, end) if start <= wall < end and self._on(first) else None

    def _on(self, day: date) -> bool:
        return self.first <= day <= self.last and day.weekday() in self.days


def blackout(text: str) -> Blackout:
    """The window that is written. Raises `Refused`."""
    found = _WRITTEN.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        raise Refused(ACCEPTED)
    said = found.groupdict()
    try:
        first = date.fromisoformat(said["first"]) if said["first"] else date.min
        end = said["last"] or said["first"]
        last = date.fromisoformat(end) if end else date.max
        times = [time.fromisoformat(said[name] or "00:00") for name in ("start", "end")]
        days = _weekdays(said["days"]) if said["days"] else frozenset(range(7))
    except ValueError:
        raise Refused(ACCEPTED) from None
    if last < first or (said["start"] and times[0] == times[1]):
        raise Refused(f"it ends before it begins; {ACCEPTED}")
    return Blackout(days=days, first=first, last=last, start=times[0], end=times[1])


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        first, last = _DAYS.index(low), _DAYS.index(high or low)
        found |= {day % 7 for day in range(first, last + 1 if last >= first else last + 8)}
    return frozenset(found)
