"""Watches the deadlines of one run: told changes and the time, it answers what is late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from dbtorch.core.deadline import Deadline, DeadlineAction, Deadlines, Late
from dbtorch.core.events import Changed
from dbtorch.core.forecast import Forecast
from dbtorch.core.state import State

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
        self.deadlines = deadlines
        self._forecast = forecast
        self._over = {id for id, state in (states or {}).items() if state.final}
        self._next_forecast: datetime | None = None  # None: at once
        self._resting = False

    @property
    def _run(self) -> Deadline | None:
        return self.deadlines.run

    def note(self, changes: Iterable[Changed]) -> None:
        """Take note of what changed."""
        changes = list(changes)
        for change in changes:
            (self._over.add if change.state.final else self._over.discard)(change.node_id)
        if self._forecast is not None and not self._resting:
            self._forecast.note(changes)

    def rest(self) -> None:
        """The run is being ended: only that the run as a whole is late is still told."""
        self._resting = True

    def wakes_at(self, now: datetime) -> datetime | None:
        """When to look again even if nothing happens; None for never."""
        times = [at for id, at in self._waiting().items() if self._unmissed(id)]
        if self._at_stake(now):
            times.append(self._next_forecast or now)
        return min(times, default=None)

    def look(self, now: datetime) -> list[Late]:
        """What there is to say now; it is not said again."""
        missed = [
            Late(node_id=id, deadline=at, at=now, missed=True)
            for id, at in self._waiting().items()
            if now >= at and self._unmissed(id)
        ]
        for late in missed:
            self._told_of_miss(late.node_id)
        return [*missed, *self._foreseen(now)]

    def cancels(self, late: Late) -> bool:
        """Whether the run is to be cancelled because of it."""
        run = self._run
        whole = late.missed and not late.node_id
        return whole and run is not None and run.action is DeadlineAction.CANCEL

    # ---------------------------------------------------------------- what is open

    def _waiting(self) -> dict[str, datetime]:
        """Deadlines of what has not ended; "" is the run."""
        found = {} if self._run is None else {"": self._run.at}
        if not self._resting:
            found |= {id: at for id, at in self.deadlines.nodes.items() if id not in self._over}
        return found

    def _unmissed(self, id: str) -> bool:
        if id:
            return id not in self.deadlines.missed
        return self._run is not None and not self._run.told

    def _at_stake(self, now: datetime) -> dict[str, datetime]:
        """Deadlines that may yet be met or missed, and of which nothing was told."""
        if self._forecast is None or self._resting:
            return {}
        told = self.deadlines.at_risk
        return {id: at for id, at in self._waiting().items() if at > now and id not in told}

    def _foreseen(self, now: datetime) -> list[Late]:
        stake = self._at_stake(now)
        due = self._next_forecast is None or now >= self._next_forecast
        if not stake or not due or self._forecast is None:
            return []
        left = (min(stake.values()) - now).total_seconds()
        pause = min(_SELDOM, max(_OFTEN, left / 20))
        found = []
        for id, outlook in self._forecast.outlook(now, stake).items():
            left = (stake[id] - now).total_seconds()
            if outlook.chance_after(left) < SURE:
                if left <= 2 * pause:
                    pause = min(pause, max(_LAST, left - outlook.surely(SURE)))
            else:
                expected = now + timedelta(seconds=outlook.expected)
                found.append(
                    Late(
                        node_id=id,
                        deadline=stake[id],
                        at=now,
                        missed=False,
                        expected=expected,
                        costliest=outlook.costliest,
                        costs=outlook.costs,
                    )
                )
        self._next_forecast = now + timedelta(seconds=pause)
        told = {late.node_id for late in found}
        self.deadlines = replace(self.deadlines, at_risk=self.deadlines.at_risk | told)
        return found

    def _told_of_miss(self, id: str) -> None:
        if id:
            self.deadlines = replace(self.deadlines, missed=self.deadlines.missed | {id})
        elif self._run is not None:
            self.deadlines = replace(self.deadlines, run=replace(self._run, told=True))
