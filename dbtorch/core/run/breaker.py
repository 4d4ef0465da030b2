"""The circuit breaker: when a warehouse is down, starts pause and one node at a time probes it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from dbtorch.core.model.policy import Breaker


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing starts, and when one node is to find out whether it could."""

    reason: str
    until: datetime
    probe: str = ""  # the node that is finding out now


class CircuitBreaker:
    """Counts transient failures, and says whether a node may start (M. Nygard, "Release It!").

    Closed until enough different nodes have failed within the window. Then open: nothing starts,
    but after every pause one node, the probe. A probe that does not fail transiently closes it. One
    that does is forgiven its try while the patience lasts, so an outage costs no node its retries.
    """

    def __init__(self, breaker: Breaker | None) -> None:
        self._breaker = breaker
        self._failures: deque[tuple[datetime, str]] = deque()
        self.pause: Pause | None = None  # while it is open
        self._forgives_until: datetime | None = None
        self._due = False  # nothing was there to probe with when the pause was over

    def holds(self, now: datetime) -> bool:
        """Whether nothing may start."""
        self._due = self.pause is not None and now >= self.pause.until
        return self.pause is not None and (bool(self.pause.probe) or not self._due)

    def wake_at(self) -> datetime | None:
        """When a probe is due; None when that depends on something else."""
        if self.pause is None or self.pause.probe or self._due:
            return None
        return self.pause.until

    def started(self, id: str) -> None:
        """Take note of a start; while the circuit is open it is a probe."""
        if self.pause is not None:
            self.pause = Pause(self.pause.reason, self.pause.until, probe=id)

    def ended(self, id: str, now: datetime, *, transient: bool) -> bool:
        """Take note of the end of an attempt; answer whether its failure is forgiven."""
        if self._breaker is None:
            return False
        if self.pause is None:
            if transient:
                self._count(id, now, self._breaker)
            return False
        if id != self.pause.probe:
            return False
        self._probed(now, transient=transient)
        assert self._forgives_until is not None
        return transient and now <= self._forgives_until

    def _probed(self, now: datetime, *, transient: bool) -> None:
        assert self._breaker is not None
        assert self.pause is not None
        if not transient:
            self.pause = None
            return
        until = now + timedelta(seconds=self._breaker.pause)
        self.pause = Pause(self.pause.reason, until)
        self._due = False

    def _count(self, id: str, now: datetime, breaker: Breaker) -> None:
        self._failures.append((now, id))
        while now - self._failures[0][0] > timedelta(seconds=breaker.window):
            self._failures.popleft()
        different = {id for _, id in self._failures}
        if len(different) < breaker.failures:
            return
        self._failures.clear()
        reason = f"{len(different)} nodes failed for a moment's reason within {breaker.window:g} s"
        self.pause = Pause(reason, now + timedelta(seconds=breaker.pause))
        self._forgives_until = now + timedelta(seconds=breaker.patience)
        self._due = False
