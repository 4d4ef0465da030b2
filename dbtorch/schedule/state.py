"""What a scheduler knows of itself, for those who ask: counts, and how things stood last."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from dbtorch.core.model.state import RunState, State
from dbtorch.core.schedule.ledger import LedgerView, ScheduleKey, SkipReason, TickState
from dbtorch.core.text.from_outside import whole

#: Upper bounds of how late a run starts, in seconds.
LATENESS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)

_ENDED_BADLY = (State.FAILED, State.UP_FOR_RETRY)


@dataclass(slots=True)
class ServeState:
    """Counts what happens. Written by the scheduler and its children's threads, read by HTTP."""

    runs: Counter[tuple[str, str]] = field(default_factory=Counter)  # by pipeline and state
    attempts: Counter[str] = field(default_factory=Counter)  # that failed, by class
    skips: Counter[tuple[str, str]] = field(default_factory=Counter)  # by pipeline and reason
    nodes: dict[tuple[str, str], int] = field(default_factory=dict)  # of last runs, by state
    late: Counter[float] = field(default_factory=Counter)  # by the bound that they are below
    late_sum: float = 0.0
    queued: int = 0
    active: int = 0
    turned_at: float | None = None  # Unix time of the last turn
    beat: float = field(default_factory=time.monotonic)
    problem: str = ""  # why there is none now
    config_ok: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def started(self, key: ScheduleKey, late: float) -> None:
        """A run was started, so many seconds after it was due."""
        with self.lock:
            self.late[next((bound for bound in LATENESS if late <= bound), float("inf"))] += 1
            self.late_sum += late

    def skipped(self, key: ScheduleKey, reason: SkipReason) -> None:
        """A tick was skipped."""
        with self.lock:
            self.skips[key.pipeline, reason.value] += 1

    def turned(self, view: LedgerView) -> None:
        """How things stand, after each turn."""
        states = [tick.state for one in view.schedules.values() for tick in one.ticks]
        with self.lock:
            self.queued = view.queued
            self.active = states.count(TickState.STARTED)
            self.turned_at, self.beat, self.problem = time.time(), time.monotonic(), ""

    def failed(self, why: str) -> None:
        """A turn came to nothing."""
        with self.lock:
            self.beat, self.problem = time.monotonic(), why

    def reloaded(self, *, ok: bool) -> None:
        """The configuration was read again."""
        with self.lock:
            self.config_ok = ok

    def heard(self, key: ScheduleKey, said: dict[str, Any]) -> None:
        """A line of a run."""
        event = said.get("event")
        with self.lock:
            if event == "node" and said.get("state") in _ENDED_BADLY:
                self.attempts[str(said.get("failure_class") or "unknown")] += 1
            elif event == "run_finished":
                self._finished(key.pipeline, said)

    def _finished(self, pipeline: str, said: dict[str, Any]) -> None:
        state = str(said.get("state"))
        self.runs[pipeline, state if state in [*RunState] else "unknown"] += 1
        counts = said.get("counts")
        if isinstance(counts, dict):
            self.nodes = {name: n for name, n in self.nodes.items() if name[0] != pipeline}
            known = {name: whole(n, most=sys.maxsize) for name, n in counts.items()}
            self.nodes |= {(pipeline, name): n for name, n in known.items() if n is not None}
