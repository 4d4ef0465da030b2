"""Which time a run stands for: half-open intervals in UTC that adjoin and are never empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dbtorch.core.text.moments import shown

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class NoInterval(ValueError):
    """There is no interval that a run could stand for; the text says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``start``, which belongs to it, to ``end``, which does not; both in UTC."""

    start: datetime | None  # None: from the beginning of time, for nothing has been loaded yet
    end: datetime

    @property
    def logical_date(self) -> datetime:
        """What names it: its start, or its end where it has none."""
        return self.start or self.end

    def to_text(self) -> str:
        """For programs: both moments with a slash between."""
        return f"{self.start.isoformat() if self.start is not None else ''}/{self.end.isoformat()}"

    @classmethod
    def of_text(cls, text: str) -> Interval:
        """What `to_text` has written. Raises `ValueError`."""
        start, _, end = text.partition("/")
        return cls(datetime.fromisoformat(start) if start else None, datetime.fromisoformat(end))

    def __str__(self) -> str:
        since = f"{shown(self.start)} to" if self.start is not None else "everything up to"
        return f"{since} {shown(self.end)}"


def covered_until(done: Sequence[Interval]) -> datetime | None:
    """Where the time ends that was covered without a gap, from the first interval on.

    ``done`` are the intervals in the order in which they were run. One that somebody has begun
    later than that leaves a gap, which is still to be covered.
    """
    if not done:
        return None
    end = done[0].end
    for one in sorted(done, key=lambda one: one.start or _BEGINNING):
        if one.start is None or one.start <= end:
            end = max(end, one.end)
    return end


def until_now(start: datetime | None, now: datetime) -> Interval:
    """What a run without a schedule stands for. Raises `NoInterval` if that has not begun."""
    end = now.replace(microsecond=0)
    if start is not None and end <= start:
        end = now
    if start is not None and end <= start:
        raise NoInterval(
            f"a run without a schedule covers the time up to now, {shown(now)}, and its "
            f"interval would begin at {shown(start)}"
        )
    return Interval(start, end)
