"""Watches the deadlines of one run: told changes and the time, it answers what is late."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dbtorch.core.model.deadline import DeadlineAction, Deadlines, Late
from dbtorch.core.model.events import Changed
from dbtorch.core.model.state import State

if TYPE_CHECKING:
    from dbtorch.core.run.forecast import Forecast, Outlook

#: How probable a miss is when somebody is told of it. One such alert in twenty may be wrong; the
#: rest is for what a forecast cannot know.
SURE = 0.97

#: Seconds after which it is looked at the calendar again, which may have been set.
_LOOK = 30.0

#: Seconds from one forecast to the next: a twentieth of the time that is left, within these. In the
#: very last moment it is asked when it would be sure, and not more often than so.
_OFTEN, _SELDOM, _LAST = 1.0, 30.0, 0.1


class Timekeeper:
    """Says of each deadline once that it is at risk, and once that it was missed."""

    def __init__(
        self,
        deadlines: Deadlines,
        forecast: Forecast | None = None,
        states: Mapping[str, State] | None = None,
    ) -> None:
        """Without a ``forecast`` nothing is ever at risk; ``states`` are those of a run so far."""
        run = deadlines.run
        self._run = run
        self._forecast = forecast
        self._at = {**deadlines.nodes, **({"": run.at} if run is not None else {})}
        self._missed = set(deadlines.missed) | ({""} if run is not None and run.told else set())
        self._at_risk = set(deadlines.at_risk)
        self._open: set[str] = set()  # what is neither over nor told to have been missed
        by_calendar = run is not None and run.by_calendar
        self._by_calendar = deadlines.by_calendar | ({""} if by_calendar else set())
        self._queue: list[tuple[datetime, str]] = []  # of those, and of some that were open
        self._days: list[tuple[datetime, str]] = []  # the same, of times of day
        self._next_forecast: datetime | None = None  # None: at once
        self._resting = False
        over = {id for id, state in (states or {}).items() if state.final}
        for id in self._at.keys() - over:
            self._watch(id)

    def note(self, changes: Iterable[Changed]) -> None:
        """Take note of what changed."""
        changes = list(changes)
        for change in changes:
            if change.state.final:
                self._open.discard(change.node_id)
            elif change.node_id in self._at and not self._resting:
                self._watch(change.node_id)
        if self._forecast is not None and not self._resting:
            self._forecast.note(changes)

    def rest(self) -> None:
        """The run is being ended: only that the run as a whole is late is still told."""
        self._resting = True
        self._open &= {""}

    def wakes_at(self, now: datetime, calendar: datetime | None = None) -> datetime | None:
        """When to look again even if nothing happens; None for never."""
        for queue in (self._queue, self._days):
            while queue and queue[0][1] not in self._open:
                heapq.heappop(queue)
        times = [self._queue[0][0]] if self._queue else []
        if self._days:
            left = self._days[0][0] - (calendar or now)
            times.append(now + min(left, timedelta(seconds=_LOOK)))
        if self._may_be_at_risk:
            times.append(self._next_forecast or now)
        return min(times, default=None)

    def look(self, now: datetime, calendar: datetime | None = None) -> list[Late]:
        """What there is to say now; it is not said again.

        ``calendar`` is what that says now, where it has been set since the run began.
        """
        calendar = calendar or now
        found = [*self._passed(self._queue, now), *self._passed(self._days, calendar)]
        due = self._next_forecast is None or now >= self._next_forecast
        if due and self._may_be_at_risk:
            found += self._foreseen(now, calendar - now)
        return found

    def _passed(self, queue: list[tuple[datetime, str]], now: datetime) -> list[Late]:
        found = []
        while queue and queue[0][0] <= now:
            at, id = heapq.heappop(queue)
            if id in self._open:
                self._open.discard(id)
                self._missed.add(id)
                found.append(Late(node_id=id, deadline=at, at=now, missed=True))
        return found

    def cancels(self, late: Late) -> bool:
        """Whether the run is to be cancelled because of it."""
        run = self._run
        whole = late.missed and not late.node_id
        return whole and run is not None and run.action is DeadlineAction.CANCEL

    def _watch(self, id: str) -> None:
        if id not in self._open and id not in self._missed:
            self._open.add(id)
            queue = self._days if id in self._by_calendar else self._queue
            heapq.heappush(queue, (self._at[id], id))

    def _due(self, id: str, was_set: timedelta) -> datetime:
        """When it passes by a clock that is not set."""
        return self._at[id] - was_set if id in self._by_calendar else self._at[id]

    @property
    def _may_be_at_risk(self) -> bool:
        known = self._forecast is not None and not self._resting
        return known and not self._open <= self._at_risk

    def _foreseen(self, now: datetime, was_set: timedelta) -> list[Late]:
        """What will be missed by the forecast; with it is settled when the next one is made."""
        if self._forecast is None:
            return []
        stake = {id: self._due(id, was_set) for id in self._open - self._at_risk}
        pause = min(_SELDOM, max(_OFTEN, (min(stake.values()) - now).total_seconds() / 20))
        found = []
        for id, outlook in self._forecast.outlook(now, stake).items():
            left = (stake[id] - now).total_seconds()
            if outlook.expected >= left and outlook.chance_after(left) >= SURE:
                found.append(_at_risk(id, self._at[id], outlook, now))
            elif left <= 2 * pause:
                pause = min(pause, max(_LAST, left - outlook.surely(SURE)))
        self._next_forecast = now + timedelta(seconds=pause)
        self._at_risk |= {late.node_id for late in found}
        return found


def _at_risk(id: str, deadline: datetime, outlook: Outlook, now: datetime) -> Late:
    costliest, costs = outlook.costliest()
    return Late(
        node_id=id,
        deadline=deadline,
        at=now,
        missed=False,
        expected=now + timedelta(seconds=outlook.expected),
        costliest=costliest,
        costs=costs,
    )
