"""Rules that decide about one node: when to try again, how long it may take, what it occupies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from dbtorch.core.state import FailureClass


class Trigger(StrEnum):
    """What a node's parents must have done before it starts (Airflow's trigger rules)."""

    ALL_SUCCESS = "all_success"  # every parent ended well; otherwise the node is upstream_failed
    ALL_DONE = "all_done"  # every parent ended, however
    ON_DEMAND = "on_demand"  # as soon as some child waits for nothing else; skipped if none is left


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when to try again.

    Delays are seconds, exponential with full jitter as in
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """

    retries: Mapping[FailureClass, int] = field(
        default_factory=lambda: {
            FailureClass.TRANSIENT: 2,
            FailureClass.TIMEOUT: 1,
            FailureClass.UNKNOWN: 1,
        }
    )
    delay: float = 10.0
    max_delay: float = 300.0

    @classmethod
    def times(cls, retries: int, *, delay: float = 10.0, max_delay: float = 300.0) -> Retry:
        """Retry everything that may work a second time this often; never code or data failures."""
        again = (FailureClass.TRANSIENT, FailureClass.TIMEOUT, FailureClass.UNKNOWN)
        return cls(retries=dict.fromkeys(again, retries), delay=delay, max_delay=max_delay)

    def next_try(
        self,
        *,
        failures: int,
        failure_class: FailureClass,
        now: datetime,
        random: Callable[[], float],
        asked_delay: float | None = None,
    ) -> datetime | None:
        """When to try again after the ``failures``-th failed attempt, or None to give up.

        ``random`` answers numbers in [0, 1). ``asked_delay`` is what the other side asked for,
        in seconds (``Retry-After``); it is a lower bound.
        """
        if failures > self.retries.get(failure_class, 0):
            return None
        ceiling = min(self.max_delay, self.delay * 2.0 ** min(failures - 1, 62))
        return now + timedelta(seconds=max(random() * ceiling, asked_delay or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything a plan fixes about one node besides what it is."""

    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None  # seconds an attempt may run
    priority: int = 0  # higher starts first
    slots: Mapping[str, int] = field(default_factory=dict)  # pool -> slots it takes while it runs
    trigger: Trigger = Trigger.ALL_SUCCESS
