"""Attempts that are asked to stop: for which reason, and what they came to in the end."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from dbtorch.core.model.events import Attempt, Outcome
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, State


class Stopping:
    """Who was asked to stop and why; a time-out asks by itself when it is over."""

    def __init__(self) -> None:
        self._why: dict[str, Reason] = {}  # node -> why its attempt is asked to stop
        self._asked: list[Attempt] = []  # not yet told to whoever executes them
        self._timeouts: list[tuple[datetime, str, int, float]] = []

    def ask(self, attempt: Attempt, why: Reason, *, anew: bool = False) -> None:
        """Ask an attempt to stop. The first reason stands, unless it is given ``anew``."""
        known = attempt.node_id in self._why
        if not known:
            self._asked.append(attempt)
        if anew or not known:
            self._why[attempt.node_id] = why

    def take(self) -> tuple[Attempt, ...]:
        """Attempts that were asked since the last time."""
        asked, self._asked = tuple(self._asked), []
        return asked

    def limit(self, attempt: Attempt, now: datetime, timeout: float | None) -> None:
        """Let an attempt that has just started run for so many seconds."""
        if timeout is not None:
            until = now + timedelta(seconds=timeout)
            heapq.heappush(self._timeouts, (until, attempt.node_id, attempt.number, timeout))

    def forget(self, attempt: Attempt) -> None:
        """The attempt was none: another one will have its number."""
        others = [one for one in self._timeouts if one[1:3] != (attempt.node_id, attempt.number)]
        if len(others) < len(self._timeouts):
            heapq.heapify(others)
            self._timeouts = others

    def next_timeout(self, runs: Callable[[Attempt], bool]) -> datetime | None:
        """When the next of the attempts that still run is to be stopped."""
        while self._timeouts and not runs(self._first()):
            heapq.heappop(self._timeouts)
        return self._timeouts[0][0] if self._timeouts else None

    def overdue(self, now: datetime) -> Iterator[tuple[Attempt, Reason]]:
        """Attempts whose time is over, each once, and why they are to stop."""
        while self._timeouts and self._timeouts[0][0] <= now:
            attempt = self._first()
            seconds = heapq.heappop(self._timeouts)[-1]
            yield attempt, Reason(ReasonKind.TIMEOUT, text=f"{seconds:g} s")

    def judge(self, id: str, outcome: Outcome, *, called_off: bool) -> Outcome:
        """What an attempt really came to, if it was asked to stop.

        One that succeeded, or that failed for a reason of its own, stands. ``called_off`` says that
        somebody has cancelled it, or the run.
        """
        why = self._why.pop(id, None)
        by_itself = outcome.failure_class in (FailureClass.DATA, FailureClass.CODE)
        if why is None or outcome.state.ok or by_itself:
            return outcome
        stopped = replace(outcome, message=str(why), reason=why)
        if called_off:
            return replace(stopped, state=State.CANCELLED)
        if why.kind is ReasonKind.FAIL_FAST:
            return replace(stopped, state=State.SKIPPED)
        return replace(stopped, state=State.FAILED, failure_class=FailureClass.TIMEOUT)

    def _first(self) -> Attempt:
        return Attempt(*self._timeouts[0][1:3])
