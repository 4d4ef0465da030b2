"""The partitions of a pipeline or a model: their keys, and the intervals of UTC that these name.

Their edges are ticks of a schedule, so that clocks that are set are treated as they are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from dbtorch.adapters.cron import NoTick, Ticks
from dbtorch.core.errors import UsageError
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.partition import UNTIL, Grain, Partition, PartitionSpec
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.core.text.limits import EARLIEST, LATEST
from dbtorch.core.text.moments import shown

_LEAST = timedelta(microseconds=1)

#: How a key is written of each grain, and one for a sentence.
_FORMS = {
    Grain.HOUR: ("%Y-%m-%dT%H", "2026-11-01T05"),
    Grain.DAY: ("%Y-%m-%d", "2026-11-01"),
    Grain.WEEK: ("%Y-%m-%d", "2026-11-02"),
    Grain.MONTH: ("%Y-%m", "2026-11"),
}

#: Partitions that are looked at or run at once: ten years of hours.
MOST = 100_000


class Partitions:
    """All partitions that there are, from the first one on."""

    def __init__(self, spec: PartitionSpec, of: str) -> None:
        """``of`` is what they are called in sentences: ``pipeline daily``."""
        self.spec = spec
        self._of = of
        self._ticks = Ticks(Schedule(crons=(spec.cron,), timezone=spec.timezone))
        self._zone = ZoneInfo(spec.timezone)

    def named(self, text: str, now: datetime) -> Partition:
        """The partition of a key, or those of ``first..last``, which must be over.

        Raises `UsageError`.
        """
        first, until, last = text.partition(UNTIL)
        found = self._of_key(first)
        if until:
            end = self._of_key(last)
            if end.start < found.start:
                raise UsageError(f"{text}: {last} comes before {first}; name the earlier one first")
            found = found.through(end)
        if found.end > now:
            raise UsageError(
                f"partition {found.key} of {self._of} is not over before {shown(found.end)}; run it"
                " then"
            )
        return found

    def around(self, text: str) -> Partition:
        """The partition of a key, or the one in which a day or a time lies. Raises `UsageError`."""
        at = self._moment(text)
        found = self._after(at)
        return self._not_before_first(found, text) if self._says(found, text) else self.holding(at)

    def holding(self, at: datetime) -> Partition:
        """The partition in which a moment lies. Raises `UsageError` for one before the first."""
        try:
            found = self._from(self._ticks.at_or_before(at))
        except NoTick as error:
            raise UsageError(f"{self._of} has no partition at {shown(at)}: {error}") from error
        return self._not_before_first(found, shown(at))

    def _not_before_first(self, found: Partition, said: str) -> Partition:
        if found.start < self.first.start:
            raise UsageError(
                f"{said} lies before the first partition of {self._of}, which is {self.first.key}"
            )
        return found

    @cached_property
    def first(self) -> Partition:
        """The first partition."""
        return self._after(self.spec.start.astimezone(UTC))

    def last(self, now: datetime) -> Partition:
        """The last one that is over. Raises `UsageError` where none is."""
        first = self.first
        if first.end > now:
            raise UsageError(
                f"the first partition of {self._of}, {first.key}, is not over before"
                f" {shown(first.end)}"
            )
        return self.holding(self._ticks.at_or_before(now) - _LEAST)

    def between(self, first: Partition, last: Partition) -> list[Partition]:
        """All from one to another one. Raises `UsageError` for more than anybody runs."""
        found: list[Partition] = []
        for one in self._following(first):
            if one.start > last.start:
                return found
            found.append(one)
            if len(found) > MOST:
                raise UsageError(
                    f"{self._of} has more than {MOST} partitions from {first.key} to {last.key};"
                    " take a part of them"
                )
        return found

    def known(self, now: datetime, *, most: int | None = None) -> list[Partition]:
        """All that are over, the oldest first; of many the newest. None is no mistake here."""
        if self.first.end > now:
            return []
        last = self.last(now)
        if most is None:
            return self.between(self.first, last)
        found = [last]
        while len(found) < most and found[-1].start > self.first.start:
            found.append(self.holding(found[-1].start - _LEAST))
        return found[::-1]

    def _following(self, first: Partition) -> Iterator[Partition]:
        at = first
        while True:
            yield at
            at = self._from(at.end)

    def _of_key(self, text: str) -> Partition:
        at = self._moment(text)
        found = self._after(at)
        if not self._says(found, text):
            inside = self.holding(at)
            raise UsageError(
                f"{text} is no partition of {self._of}, which has them by {self.spec.by}: it lies"
                f" in {inside.key}"
            )
        return self._not_before_first(found, text)

    def _says(self, found: Partition, text: str) -> bool:
        """Whether it is the very one that somebody has named, in short or at length."""
        return text in (found.key, found.start.isoformat())

    def _moment(self, text: str) -> datetime:
        whole = f"{text}-01" if self.spec.by is Grain.MONTH and len(text) == 7 else text
        try:
            at: datetime | None = datetime.fromisoformat(whole)
        except ValueError:
            at = None
        local = at.replace(tzinfo=self._zone) if at is not None and at.tzinfo is None else at
        if local is None or not EARLIEST <= local <= LATEST:
            raise UsageError(
                f"{text!r} is no partition of {self._of}, which has them by {self.spec.by}: write"
                f" one such as {_FORMS[self.spec.by][1]}"
            )
        return local.astimezone(UTC)

    def _after(self, at: datetime) -> Partition:
        """The first partition that does not begin before a moment."""
        try:
            return self._from(self._ticks.after(at - _LEAST))
        except (NoTick, OverflowError) as error:
            raise UsageError(f"{self._of} has no partition at {shown(at)}") from error

    def _from(self, start: datetime) -> Partition:
        try:
            end = self._ticks.after(start)
        except NoTick as error:
            raise UsageError(f"{self._of} has no partition at {shown(start)}") from error
        return Partition(self._key(start), Interval(start, end))

    def _key(self, start: datetime) -> str:
        local = start.astimezone(self._zone)
        text = local.strftime(_FORMS[self.spec.by][0])
        if self.spec.by is Grain.HOUR and local.fold:  # the hour comes twice
            text += local.isoformat()[-6:]
        return text
