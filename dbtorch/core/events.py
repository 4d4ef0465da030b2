"""What the outside tells a run (events), and what the run tells the outside (changes)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dbtorch.core.measure import Found, Measure
from dbtorch.core.state import FailureClass, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one attempt."""

    state: State  # success, warn, failed, skipped or cancelled
    message: str = ""
    failure_class: FailureClass | None = None
    rows_affected: int | None = None
    lost: bool = False  # nobody reported it: what ran it is gone
    innocent: bool = False  # ended for another attempt's sake: does not count against its retries
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


@dataclass(frozen=True, slots=True)
class Outdated:
    """The plan rests on something that is no longer so; another one is to go on."""


Event = Started | Finished | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A node went from one state to another."""

    node_id: str
    attempt: int  # 0 before the first
    before: State
    state: State
    at: datetime
    reason: str = ""
    cause: str = ""  # the node to blame, where it is another one
    outcome: Outcome | None = None  # of the attempt that just ended
    retry_at: datetime | None = None  # for up_for_retry


@dataclass(frozen=True, slots=True)
class Due:
    """What a run wants done now. Its changes are to be written before anything is started."""

    batches: tuple[Batch, ...] = ()
    cancels: tuple[Attempt, ...] = ()
    changes: tuple[Changed, ...] = ()
