"""Rules that decide about one node: when to try again, how long it may take, what it occupies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from dbtorch.core.keys import Between, Limit, key
from dbtorch.core.model.deadline import DeadlineRule
from dbtorch.core.model.gate import Gate, Require
from dbtorch.core.model.state import FailureClass
from dbtorch.core.model.wait import Wait
from dbtorch.core.text.from_outside import FOR_EVER, number


class Trigger(StrEnum):
    """What a node's parents must have done before it starts (Airflow's trigger rules)."""

    ALL_SUCCESS = "all_success"  # every parent ended well; otherwise the node is upstream_failed
    ALL_DONE = "all_done"  # every parent ended, however
    ON_DEMAND = "on_demand"  # as soon as some child waits for nothing else; skipped if none is left


class OnFailure(StrEnum):
    """What a node that failed means for those after it (dbt 1.12's ``on_error``)."""

    BLOCK = "block"  # they end upstream_failed
    CONTINUE = "continue"  # they run all the same; the run has failed in any case


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
    limit: int | None = None  # retries of all classes together
    delay: float = 10.0
    max_delay: float = 300.0
    jitter: bool = True  # wait a random part of the delay
    budget: float | None = None  # seconds after the first start in which another try may start

    @classmethod
    def times(cls, retries: int, *, delay: float = 10.0, max_delay: float = 300.0) -> "Retry":
        """Retry everything that may work a second time this often; never code or data failures."""
        again = (FailureClass.TRANSIENT, FailureClass.TIMEOUT, FailureClass.UNKNOWN)
        each = dict.fromkeys(again, retries)
        return cls(retries=each, limit=retries, delay=delay, max_delay=max_delay)

    def next_try(
        self,
        *,
        failures: Mapping[FailureClass, int],
        failure_class: FailureClass,
        first_start: datetime,
        now: datetime,
        random: Callable[[], float],
        asked_delay: float | None = None,
    ) -> datetime | None:
        """When to try again after an attempt that failed in this class, or None to give up.

        ``failures`` counts all failed attempts so far, this one included; each class has retries of
        its own. ``random`` answers numbers in [0, 1). ``asked_delay`` is what the other side asked
        for, in seconds (``Retry-After``); it is a lower bound, up to ``max_delay``.
        """
        if failures.get(failure_class, 0) > self.retries.get(failure_class, 0):
            return None
        if self.limit is not None and sum(failures.values()) > self.limit:
            return None
        ceiling = min(self.max_delay, self.delay * 2.0 ** min(sum(failures.values()) - 1, 62))
        delay = random() * ceiling if self.jitter else ceiling
        asked = number(asked_delay, most=self.max_delay) or 0.0
        again = now + timedelta(seconds=min(max(delay, asked), FOR_EVER))
        waited = (again - first_start) / timedelta(seconds=1)
        return None if self.budget is not None and waited > self.budget else again


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When to stop hammering a warehouse that is down, and how often to look whether it is back."""

    failures: Annotated[int, Between(1, 1_000_000)] = field(
        default=5,
        metadata=key("How many different nodes must fail transiently ...", example="5"),
    )
    window: Limit = field(
        default=60.0, metadata=key("... within this time to open the breaker.", example="1m")
    )
    pause: Limit = field(
        default=30.0,
        metadata=key(
            "How long nothing starts before one node probes the warehouse.", example="30s"
        ),
    )
    patience: Limit = field(
        default=3600.0,
        metadata=key(
            "For this long after the breaker opens, failed probes do not use up retries.",
            example="1h",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything a plan fixes about one node besides what it is."""

    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None  # seconds an attempt may run
    priority: int = 0  # higher starts first
    slots: Mapping[str, int] = field(default_factory=dict)  # pool -> slots it takes while it runs
    trigger: Trigger = Trigger.ALL_SUCCESS
    on_failure: OnFailure = OnFailure.BLOCK
    gate: Gate | None = None  # of a source: what its freshness means for those after it
    wait: Wait | None = None  # of a step that looks until something holds
    require: Require = Require.ANY  # how many of the sources before it must be fresh
    deadline: DeadlineRule | None = None  # when it is late
