"""What is remembered of runs: the records a store keeps and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dbtorch.core.graph import Kind
from dbtorch.core.state import FailureClass, RunState, State

#: How the message of an attempt begins whose supervisor was gone before it ended.
LOST = "lost: the supervisor"


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

    @property
    def seconds(self) -> float | None:
        """How long it ran; None while it runs, or when it never did."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def lost(self) -> bool:
        """Whether its supervisor was gone before it ended."""
        return self.state is State.FAILED and self.message.startswith(LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """One node within one run."""

    id: str
    kind: Kind
    name: str
    state: State
    reason: str = ""
    path: str = ""
    materialized: str = ""
    owner: str = ""
    runbook: str = ""
    group: str = ""
    updated_at: datetime | None = None
    retry_at: datetime | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    checksum: str = ""  # of the code it was planned with; empty where nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of state, as it was written."""

    node_id: str
    attempt: int
    before: State
    state: State
    at: datetime
    reason: str = ""


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
    data_interval_start: datetime
    data_interval_end: datetime
    state: RunState
    started_at: datetime
    finished_at: datetime | None = None
    trigger: str = "manual"  # manual, scheduled or backfill (Airflow's run types)
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
    nodes: tuple[NodeRecord, ...] = ()  # empty when given to Store.begin
    transitions: tuple[Transition, ...] = ()
    actions: tuple[Action, ...] = ()  # empty when given to Store.begin

    @property
    def gated(self) -> bool:
        """Whether a source that is not fresh held nodes back."""
        stale = {
            node.id
            for node in self.nodes
            if node.kind is Kind.SOURCE and node.state is State.SKIPPED and node.attempts
        }
        behind = {after for before, after in self.edges if before in stale}
        return any(node.state is State.SKIPPED for node in self.nodes if node.id in behind)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to drive a pipeline, held by one supervisor at a time."""

    name: str  # what is held: "<project>/<pipeline>"
    run_id: str
    host: str
    pid: int
    acquired_at: datetime
    expires_at: datetime

    @property
    def lifetime(self) -> timedelta:
        """How long it holds without being renewed, told of a lease as it was taken."""
        return self.expires_at - self.acquired_at


#: A supervisor that has not renewed its lease for this long is taken for dead.
LEASE_LIFETIME = timedelta(seconds=60)
