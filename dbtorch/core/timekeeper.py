"""Watches the deadlines of one run: told changes and the time, it answers what is late."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dbtorch.core.deadline import DeadlineAction, Deadlines, Late
from dbtorch.core.events import Changed
from dbtorch.core.state import State

if TYPE_CHECKING:
    from dbtorch.core.forecast import Forecast, Outlook

#: How probable a miss is when somebody is told of it. One such alert in twenty may be wrong; the
#: rest is for what a forecast cannot know.
SURE = 0.97

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
        self._queue: list[tuple[datetime, str]] = []  # of those, and of some that were open
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

    def wakes_at(self, now: datetime) -> datetime | None:
        """When to look again even if nothing happens; None for never."""
        while self._queue and self._queue[0][1] not in self._open:
            heapq.heappop(self._queue)
        times = [self._queue[0][0]] if self._queue else []
        if self._may_be_at_risk:
            times.append(self._next_forecast or now)
        return min(times, default=None)

    def look(self, now: datetime) -> list[Late]:
        """What there is to say now; it is not said again."""
        found = []
        while self._queue and self._queue[0][0] <= now:
            at, id = heapq.heappop(self._queue)
            if id in self._open:
                self._open.discard(id)
                self._missed.add(id)
                found.append(Late(node_id=id, deadline=at, at=now, missed=True))
        due = self._next_forecast is None or now >= self._next_forecast
        return [*found, *self._foreseen(now)] if due and self._may_be_at_risk else found

    def cancels(self, late: Late) -> bool:
        """Whether the run is to be cancelled because of it."""
        run = self._run
        whole = late.missed and not late.node_id
        return whole and run is not None and run.action is DeadlineAction.CANCEL

    def _watch(self, id: str) -> None:
        if id not in self._open and id not in self._missed:
            self._open.add(id)
            heapq.heappush(self._queue, (self._at[id], id))

    @property
    def _may_be_at_risk(self) -> bool:
        known = self._forecast is not None and not self._resting
        return known and not self._open <= self._at_risk

    def _foreseen(self, now: datetime) -> list[Late]:
        """What will be missed by the forecast; with it is settled when the next one is made."""
        if self._forecast is None:
            return []
        stake = {id: self._at[id] for id in self._open - self._at_risk}
        pause = min(_SELDOM, max(_OFTEN, (min(stake.values()) - now).total_seconds() / 20))
        found = []
        for id, outlook in self._forecast.outlook(now, stake).items():
            left = (stake[id] - now).total_seconds()
            if outlook.expected >= left and outlook.chance_after(left) >= SURE:
                found.append(_at_risk(id, stake[id], outlook, now))
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
