"""Freshness gates: what a stale source means for the nodes that need it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dbtorch.core.model.state import State


class OnStale(StrEnum):
    """What happens behind a source that is not fresh."""

    SKIP = "skip"  # its descendants are skipped; yesterday's tables stay as they are
    FAIL = "fail"  # they end upstream_failed
    WARN = "warn"  # they run, and the run says so
    WAIT = "wait"  # they wait until the source is fresh, holding no thread


class Require(StrEnum):
    """How many of a node's sources must be fresh."""

    ANY = "any"  # one stale source holds it back
    ALL = "all"  # only when all are stale is it held back


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What to do about one source; ``warn`` and ``error`` are dbt's thresholds.

    A source that cannot be checked is not fresh: it counts as beyond ``error_after``.
    """

    on_warn: OnStale = OnStale.WARN
    on_error: OnStale = OnStale.SKIP
    every: float = 60.0  # seconds between two checks while waiting
    patience: float = 3600.0  # seconds from the first check in which it is checked again
    then: OnStale = OnStale.SKIP  # when that time is over: skip, fail or warn

    def verdict(self, found: State, *, first_check: datetime, now: datetime) -> State | datetime:
        """The state a source ends in that was found in this one, or when to look again."""
        if found not in (State.WARN, State.FAILED):
            return found
        action = self.on_warn if found is State.WARN else self.on_error
        if action is OnStale.WAIT:
            again = now + timedelta(seconds=self.every)
            if again <= first_check + timedelta(seconds=self.patience):
                return again
            action = self.then
        return _ENDS[action]


_ENDS = {
    OnStale.SKIP: State.SKIPPED,
    OnStale.FAIL: State.FAILED,
    OnStale.WARN: State.WARN,
    OnStale.WAIT: State.SKIPPED,  # nobody waits after waiting
}
