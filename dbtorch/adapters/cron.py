"""When a schedule ticks, and which interval between two ticks a run stands for.

croniter finds wall-clock times; which instants these are is decided here, as cron daemons do: a
fixed time comes once a day, at its first pass where a clock is set back and right after the gap
where it is set forward. With a wildcard minute or hour the clock is followed through both passes.

A time on a day that is left out is no tick, one in a blackout is a tick that does not run; the
interval of the next one that runs covers both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from dbtorch.core.model.interval import Interval, NoInterval
from dbtorch.core.schedule.schedule import Schedule

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from croniter import croniter

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_LEAST = timedelta(microseconds=1)

#: Days and windows in a row that leave out every time of a schedule; then it never ticks.
_MOST_HOLES = 5000

#: How far a hole is looked over at once on a day on which a clock is set.
_STRIDE = timedelta(minutes=15)

#: Aliases whose minute or hour is a wildcard.
_WILD = frozenset({"@hourly"})


class NoTick(ValueError):
    """There is no tick: before the start of a schedule, after its end, where the calendar ends."""


class _Rhythm(Protocol):
    def at_or_before(self, at: datetime) -> datetime: ...

    def after(self, at: datetime) -> datetime: ...


def interval(schedule: Schedule, logical_date: datetime | None, now: datetime) -> Interval:
    """The interval that holds the logical date; without one the last that is complete.

    Raises `NoInterval` where the calendar or the schedule ends.
    """
    ticks = Ticks(schedule)
    at = now if logical_date is None else logical_date
    try:
        last = ticks.at_or_before(at)
        if logical_date is None:
            return ticks.interval(last)
        return Interval(last, ticks.after(at))
    except NoTick as error:
        raise NoInterval(
            f"the schedule {str(schedule)!r} has no interval at {at.isoformat()}"
        ) from error


class Ticks:
    """The instants at which a schedule ticks, in UTC; the start of its first interval is no tick.

    Those in a blackout are left out, unless they are asked for. Raises `ProjectError` where days
    that it leaves out cannot be read.
    """

    def __init__(
        self, schedule: Schedule, days_of: Callable[[str], frozenset[date]] | None = None
    ) -> None:
        """``days_of`` answers the days in a file or at a URL; by default it is read, once."""
        from zoneinfo import ZoneInfo

        self._schedule = schedule
        self._days_of = days_of or self._read_once
        self._read: dict[str, frozenset[date]] = {}
        self._zone = ZoneInfo(schedule.timezone)
        self._start, self._end = _utc(schedule.start_date), _utc(schedule.end_date)
        self._rhythms: list[_Rhythm] = [_Cron(cron, self._zone) for cron in schedule.crons]
        if schedule.every is not None:
            epoch = datetime(1970, 1, 1, tzinfo=self._zone).astimezone(UTC)
            self._rhythms.append(_Every(schedule.every, self._start or epoch))

    def at_or_before(self, at: datetime, *, blackouts: bool = False) -> datetime:
        """The last tick that is not later, or the start of the first interval.

        With ``blackouts`` it may be one that does not run. Raises `NoTick` before that.
        """
        at = at if self._end is None else min(at, self._end)
        with _calendar(at):
            return self._at_or_before(at, blackouts)

    def _at_or_before(self, at: datetime, blackouts: bool) -> datetime:
        for _ in range(_MOST_HOLES):
            found = max(_found(one.at_or_before, at) for one in self._rhythms)
            if self._start is not None and found <= self._start <= at:
                return self._start
            if self._start is not None and at < self._start:
                raise NoTick(f"the schedule starts at {self._start.isoformat()}")
            hole = self._hole(found, blackouts)
            if hole is None:
                return found
            at = found - self._reach(found, -1, hole[0]) - _LEAST
        raise NoTick(f"every time of the schedule before {at.isoformat()} is left out")

    def after(self, at: datetime, *, blackouts: bool = False) -> datetime:
        """The first tick that is later; with ``blackouts`` it may be one that does not run.

        Raises `NoTick` where there is none.
        """
        at = at if self._start is None else max(at, self._start)
        with _calendar(at):
            return self._after(at, blackouts)

    def _after(self, at: datetime, blackouts: bool) -> datetime:
        for _ in range(_MOST_HOLES):
            found = min(_found(one.after, at) for one in self._rhythms)
            if self._end is not None and found > self._end:
                raise NoTick(f"the schedule ends at {self._end.isoformat()}")
            hole = self._hole(found, blackouts)
            if hole is None:
                return found
            at = found + max(timedelta(), self._reach(found, 1, hole[1]) - _LEAST)
        raise NoTick(f"every time of the schedule after {at.isoformat()} is left out")

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The ticks after ``start`` and not after ``end``, the oldest first."""
        at = start
        try:
            while (at := self.after(at)) <= end:
                yield at
        except NoTick:
            return

    def interval(self, tick: datetime) -> Interval:
        """What the run of a tick stands for. Raises `NoTick` where none comes before it."""
        return Interval(self.at_or_before(tick - _LEAST), tick)

    def blacked_out(self, at: datetime) -> bool:
        """Whether a moment lies in a window in which nothing starts."""
        wall = self._wall(at)
        return any(window.around(wall) for window in self._schedule.blackouts)

    def _hole(self, at: datetime, blackouts: bool) -> tuple[datetime, datetime] | None:
        """Since and until when, as clocks show it, what lies there is left out; None: it is not."""
        windows = () if blackouts else self._schedule.blackouts
        if not windows and not self._schedule.except_:
            return None
        wall = self._wall(at)
        if self._is_excepted(wall.date()):
            today = datetime.combine(wall.date(), time.min)
            return today, today + _DAY
        return next((hole for one in windows if (hole := one.around(wall))), None)

    def _wall(self, at: datetime) -> datetime:
        return at.astimezone(self._zone).replace(tzinfo=None)

    def _reach(self, at: datetime, way: int, edge: datetime) -> timedelta:
        """How far it is to the edge of a hole, or so far as no clock is set meanwhile."""
        whole = abs(edge - self._wall(at))
        for reach in (whole, min(whole, _STRIDE)):
            if _offset(at + way * reach, self._zone) == _offset(at, self._zone):
                return reach
        return timedelta()

    def _is_excepted(self, day: date) -> bool:
        return any(
            day in self._days_of(one) if isinstance(one, str) else day == one
            for one in self._schedule.except_
        )

    def _read_once(self, source: str) -> frozenset[date]:
        if source not in self._read:
            from dbtorch.adapters.except_dates import dates_in

            self._read[source] = dates_in(source)
        return self._read[source]


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


@contextmanager
def _calendar(at: datetime) -> Iterator[None]:
    try:
        yield
    except OverflowError as error:
        raise NoTick(f"the calendar ends near {at.isoformat()}") from error


def _found(find: Callable[[datetime], datetime], at: datetime) -> datetime:
    try:
        return find(at)
    except Exception as error:  # croniter has its own, and lets others through
        raise NoTick(f"the calendar ends near {at.isoformat()}") from error


class _Every:
    """So much time after another, whatever clocks show."""

    def __init__(self, seconds: float, anchor: datetime) -> None:
        self._step, self._anchor = timedelta(seconds=seconds), anchor

    def at_or_before(self, at: datetime) -> datetime:
        return self._anchor + (at - self._anchor) // self._step * self._step

    def after(self, at: datetime) -> datetime:
        return self.at_or_before(at) + self._step


class _Cron:
    """One cron expression in a zone."""

    def __init__(self, cron: str, zone: ZoneInfo) -> None:
        self._cron = cron
        self._zone = zone
        self._wild = cron in _WILD or any(field.startswith("*") for field in cron.split()[:2])

    def at_or_before(self, at: datetime) -> datetime:
        """The last tick that is not later."""
        wall, shift = self._around(at)
        found: list[datetime] = []
        for tick in self._walls(wall + shift + _SECOND, "get_prev"):
            if found and tick < wall - shift:
                break
            found += [one for one in self._instants(tick) if one <= at]
        return max(found)

    def after(self, at: datetime) -> datetime:
        """The first tick that is later."""
        wall, shift = self._around(at)
        found: list[datetime] = []
        for tick in self._walls(wall - shift, "get_next"):
            if found and tick > wall + shift:
                break
            found += [one for one in self._instants(tick) if one > at]
            if found and not shift:
                break
        return min(found)

    def _around(self, at: datetime) -> tuple[datetime, timedelta]:
        """The wall-clock time, and how far from it the instants nearby may be out of order."""
        wall = (at.astimezone(UTC) + _offset(at, self._zone)).replace(tzinfo=None)
        shift = 2 * self._change_within(at, _DAY)
        return wall, shift if shift and self._change_within(at, shift) else timedelta()

    def _change_within(self, at: datetime, reach: timedelta) -> timedelta:
        """By how much clocks are set near a moment, this long before it or after."""
        offsets = [_offset(at + part * reach, self._zone) for part in (-1, 0, 1)]
        return max(offsets) - min(offsets)

    def _walls(self, start: datetime, step: str) -> Iterator[datetime]:
        """Wall-clock times that the fields name, one after the other."""
        self._walk.set_current(start, force=True)
        ticks: Any = getattr(self._walk, step)
        while True:
            yield ticks(datetime)

    @cached_property
    def _walk(self) -> croniter:
        from croniter import croniter

        return croniter(self._cron)

    def _instants(self, wall: datetime) -> list[datetime]:
        """When a clock shows this; in a gap it never does, and a fixed time comes after that."""
        first, second = (
            wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1)
        )
        if first == second:
            return [first]
        if first < second:
            return [first, second] if self._wild else [first]
        return [] if self._wild else [self._change(second, first)]

    def _change(self, before: datetime, after: datetime) -> datetime:
        """When the clock was set, between two instants."""
        old = _offset(before, self._zone)
        while (seconds := (after - before) // _SECOND) > 1:
            middle = before + seconds // 2 * _SECOND
            if _offset(middle, self._zone) == old:
                before = middle
            else:
                after = middle
        return after


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
