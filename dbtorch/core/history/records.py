"""What is remembered of runs: the records a store keeps and gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import NO_REASON, Reason
from dbtorch.core.model.state import FailureClass, RunState, State

#: The partition of a run that is of none, and in which models have some of their own.
ONLY_MODELS = "-"

#: Among the details of an attempt: its output held secrets, and is kept with stars in their place.
OUTPUT_HIDDEN = "output_hidden"

#: Among the options of a run: microbatch models that were given to a dbt which does not wait until
#: it is known what it plans to build of them.
UNWATCHED = "unwatched_microbatches"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt at one node."""

    number: int
    state: State  # queued, running, success, warn, failed, cancelled, skipped
    queued_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure_class: FailureClass | None = None
    message: str = ""
    rows_affected: int | None = None
    output: Any = None
    details: Mapping[str, Any] = field(default_factory=dict)
    lost: bool = False  # nobody saw how it ended: its supervisor, or the dbt that ran it, was gone

    @property
    def seconds(self) -> float | None:
        """How long it ran; None while it runs, or when it never did."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """One node within one run."""

    id: str
    kind: Kind
    name: str
    state: State
    reason: Reason = NO_REASON
    path: str = ""
    materialized: str = ""
    owner: str = ""
    runbook: str = ""
    group: str = ""
    updated_at: datetime | None = None
    retry_at: datetime | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    checksum: str = ""  # of the code it was planned with; empty where nobody knows

    @property
    def last_attempt(self) -> int:
        """The number of its last attempt; 0 when there was none."""
        return max((attempt.number for attempt in self.attempts), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of state, as it was written."""

    node_id: str
    attempt: int
    before: State
    state: State
    at: datetime
    reason: Reason = NO_REASON


class Verb(StrEnum):
    """What is done to a run from outside."""

    CANCEL = "cancel"  # end the run, or one node of it
    MARK = "mark"  # give a node another final state by hand
    RERUN = "rerun"  # run nodes again that had ended
    RETRY = "retry"  # go on with what did not succeed
    DEADLINE = "deadline"  # the run, or a node of it, was told that it is late
    AT_RISK = "deadline_at_risk"  # the same, that by the history it will be


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What somebody asked of a run or did to it: who, when, and why."""

    action: str  # a `Verb`, or a word of a newer dbtorch
    at: datetime
    actor: str  # user@host
    node_id: str = ""  # empty for the run as a whole
    state: str = ""  # what the node or run was given, where the action gives one
    reason: str = ""
    ordinal: int = 0  # place among the run's actions, from 1; the store gives it
    handled_at: datetime | None = None  # None until it has taken effect


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run, with everything needed to explain or resume it."""

    run_id: str
    pipeline: str
    project: str  # dbt's project name
    target: str
    logical_date: datetime
    data_interval_start: datetime | None  # None: nothing had been loaded before
    data_interval_end: datetime
    state: RunState
    started_at: datetime
    place: str = ""  # what its target was; the store knows
    finished_at: datetime | None = None
    resumed_at: datetime | None = None  # when its last execution began, unless that is the first
    seconds_before: float = 0.0  # that the executions before that one took
    trigger: str = "manual"  # manual, scheduled, triggered or backfill (Airflow's run types)
    partial: bool = False  # of a part of its pipeline: it does not say how the pipeline stands
    partition: str = ""  # key of its partition, or "first..last"; "-": only models have some
    command: tuple[str, ...] = ()  # command line, as typed
    dbt_args: tuple[str, ...] = ()  # what dbt was given
    dbtorch_version: str = ""
    dbt_version: str = ""
    adapter: str = ""
    manifest_hash: str = ""
    git_commit: str = ""
    git_dirty: bool | None = None  # None outside a git checkout
    host: str = ""
    pid: int = 0
    edges: tuple[tuple[str, str], ...] = ()  # of the plan
    options: Mapping[str, Any] = field(default_factory=dict)  # what `retry` needs to plan again
    dbt_warnings: tuple[DbtWarning, ...] = ()  # of its last execution, besides those of nodes
    nodes: tuple[NodeRecord, ...] = ()  # empty when given to Store.begin
    transitions: tuple[Transition, ...] = ()
    actions: tuple[Action, ...] = ()  # empty when given to Store.begin

    @property
    def seconds_at_work(self) -> float:
        """How long its executions took; one that broke off lasted until the last it wrote."""
        last = max((move.at for move in self.transitions), default=self.started_at)
        return seconds_at_work(self, self.finished_at or last)

    @property
    def seconds_paused(self) -> float:
        """How long nobody drove it, before its last execution."""
        until = self.resumed_at or self.started_at
        return max(0.0, (until - self.started_at).total_seconds() - self.seconds_before)

    @property
    def waits(self) -> dict[str, tuple[str, ...]]:
        """Source that is not fresh -> the nodes that it held back."""
        return held_back(self.nodes, self.edges)

    @property
    def gated(self) -> bool:
        """Whether a source that is not fresh held nodes back, in a run that went well otherwise."""
        known = self.state is RunState.GATED
        return known or (self.state is RunState.SUCCESS and bool(self.waits))  # an older dbtorch's


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of the list of runs."""

    run_id: str
    pipeline: str
    target: str
    logical_date: datetime
    state: RunState
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[State, int]  # nodes per state, session ends left out
    trigger: str = "manual"  # as of `RunRecord`
    partial: bool = False
    resumed_at: datetime | None = None
    seconds_before: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanges:
    """What has changed in a run since somebody looked."""

    sequence: int  # ordinal of its last transition, to ask with the next time
    state: RunState
    finished_at: datetime | None
    resumed_at: datetime | None  # another one than before: its plan may be another, too
    nodes: tuple[NodeRecord, ...]  # as they are now, in the order of the plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to drive a pipeline, held by one supervisor at a time."""

    name: str  # what is held: a pipeline of a project, on a target
    run_id: str
    host: str
    pid: int
    acquired_at: datetime  # by the clock of whatever keeps it
    expires_at: datetime
    process: str = ""  # what the holder is, wherever its host's name and number come up again

    @property
    def lifetime(self) -> timedelta:
        """How long it holds without being renewed, told of a lease as it was taken."""
        return self.expires_at - self.acquired_at


def seconds_at_work(run: RunRecord | RunSummary, until: datetime) -> float:
    """Seconds of a run's executions, the last of which went on until then; pauses do not count.

    An execution lasts from when it may run, its lease taken, to its end: parsing counts.
    """
    began = run.resumed_at or run.started_at
    return run.seconds_before + max(0.0, (until - began).total_seconds())


def held_back(
    nodes: Iterable[NodeRecord], edges: Iterable[tuple[str, str]]
) -> dict[str, tuple[str, ...]]:
    """Source that was looked at and is not fresh -> the nodes that did not run because of it."""
    known = {node.id: node for node in nodes if node.state is State.SKIPPED}
    after: dict[str, list[str]] = {}
    for before, id in edges:
        if before in known and id in known:
            after.setdefault(before, []).append(id)
    found = {}
    for id, node in known.items():
        if node.kind is Kind.SOURCE and node.attempts and id in after:
            found[id] = _reached(id, after)
    return found


def _reached(id: str, after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    stack = [id]
    while stack:
        new = [child for child in after.get(stack.pop(), ()) if child not in seen]
        seen |= dict.fromkeys(new)
        stack += new
    return tuple(seen)


#: A supervisor that has not renewed its lease for this long is taken for dead.
LEASE_LIFETIME = timedelta(seconds=60)
