"""What the outside tells a run (events), and what the run tells the outside (changes)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from dbtorch.core.model.measure import Found, Measure
from dbtorch.core.model.reason import NO_REASON, Reason
from dbtorch.core.model.state import FailureClass, State

#: Among the details of an attempt that failed before any of it was executed, as far as is seen.
NOTHING_EXECUTED = "nothing_executed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt."""

    state: State  # success, warn, failed, skipped or cancelled
    message: str = ""
    reason: Reason | None = None  # where it is not what the attempt itself says
    failure_class: FailureClass | None = None
    rows_affected: int | None = None
    lost: bool = False  # nobody reported it: what ran it is gone
    innocent: bool = False  # ended for another attempt's sake: does not count against its retries
    waits: bool = False  # of a look: what it is about does not hold yet
    retry_after: float | None = None  # seconds the other side asked to wait
    output: Any = None  # what a step returned, JSON
    details: Mapping[str, Any] = field(default_factory=dict)  # the engine's own result, JSON
    measures: tuple[Measure, ...] = ()  # of the node's relation, for the series
    found: Found | None = None  # what a check saw, until it has been judged


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one node; ``number`` starts at 1 and goes on counting when a run is resumed."""

    node_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Nodes handed out together: a closed part of the graph.

    Of size one for steps and for an engine that works node by node.
    """

    id: int
    attempts: tuple[Attempt, ...]
    threads: int | None = None  # that it may use; None for all there are


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt is running."""

    attempt: Attempt
    at: datetime | None = field(default=None, compare=False)  # if that is not when it is heard of


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt ended."""

    attempt: Attempt
    outcome: Outcome
    at: datetime | None = field(default=None, compare=False)  # if that is not when it is heard of


@dataclass(frozen=True, slots=True)
class Ended:
    """A batch is over; what it did not report is lost, for this reason."""

    batch: Batch
    reason: str
    failure_class: FailureClass = FailureClass.TRANSIENT


#: Event time that a batch of a microbatch model is about: from, and up to; aware, in UTC.
Window: TypeAlias = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class MicrobatchesPlanned:
    """What an attempt at a microbatch model is about to build; it waits until that is kept."""

    attempt: Attempt
    windows: tuple[Window, ...]
    kept: Callable[[], None] = field(default=lambda: None, compare=False)  # to be called then


@dataclass(frozen=True, slots=True)
class MicrobatchBuilt:
    """A batch of a microbatch model is in the warehouse, whatever becomes of the attempt."""

    attempt: Attempt
    window: Window


@dataclass(frozen=True, slots=True)
class Outdated:
    """The plan rests on something that is no longer so; another one is to go on."""


Event = Started | Finished | Ended

#: What is known of an attempt before it has ended.
Progress = MicrobatchesPlanned | MicrobatchBuilt

#: What engines and steps report.
Report = Event | Progress | Outdated


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A node went from one state to another."""

    node_id: str
    attempt: int  # 0 before the first
    before: State
    state: State
    at: datetime
    reason: Reason = NO_REASON
    outcome: Outcome | None = None  # of the attempt that just ended
    retry_at: datetime | None = None  # for up_for_retry

    @property
    def cause(self) -> str:
        """The id of the node to blame, where it is another one."""
        return self.reason.cause


@dataclass(frozen=True, slots=True)
class Due:
    """What a run wants done now. Its changes are to be written before anything is started."""

    batches: tuple[Batch, ...] = ()
    cancels: tuple[Attempt, ...] = ()
    changes: tuple[Changed, ...] = ()
