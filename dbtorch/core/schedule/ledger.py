"""What is kept of schedules: each tick with what became of it, and until when that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from dbtorch.core.history.records import Lease
from dbtorch.core.model.interval import Interval

if TYPE_CHECKING:
    from dbtorch.core.schedule.cause import Cause

#: Ticks of a pipeline that wait, and that are looked at: the oldest, of a backlog and of others.
MOST_WAITING = 20

#: What the token of a backfill's part begins with, so that it is told from a tick's.
PART = "part:"


class TickState(StrEnum):
    """What has become of a tick."""

    QUEUED = "queued"  # a run is to start, or to go on
    STARTED = "started"  # a run of it has begun
    DONE = "done"  # its run has ended, or could not begin
    SKIPPED = "skipped"  # no run of it starts


class SkipReason(StrEnum):
    """Why no run of a tick starts."""

    OVERLAP = "overlap"  # the run before was still going on
    TOO_LATE = "too_late"  # it was missed, and is not caught up with
    PAUSED = "paused"
    BLACKOUT = "blackout"
    SUPERSEDED = "superseded"  # a newer one took its place in the queue
    REMOVED = "removed"  # its pipeline is gone, or has no schedule any more


@dataclass(frozen=True, slots=True, order=True)
class ScheduleKey:
    """A pipeline where its target builds."""

    pipeline: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who has paused a pipeline, when and why."""

    at: datetime
    by: str  # user@host
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TickRecord:
    """One tick: unique by its pipeline and the time it was scheduled for."""

    scheduled_for: datetime
    interval: Interval
    due_at: datetime  # with its jitter; not before then
    state: TickState = TickState.QUEUED
    backlog: bool = False  # caught up with, or asked for: no newer one takes its place
    reason: SkipReason | None = None  # of one that is skipped
    cause: Cause | None = None  # what it was made by; None: its schedule
    note: str = ""  # a sentence for people, where the state does not say it all
    run_id: str = ""  # one that is queued with a run goes on with that
    token: str = ""  # of the claim: only who has it may begin
    server: str = ""  # the name of the lease of who claimed it
    claims: int = 0  # how often it was claimed
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether something is still to come."""
        return self.state in (TickState.QUEUED, TickState.STARTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """What is decided of one pipeline."""

    key: ScheduleKey
    version: int = 0  # counts changes; 0: nothing is known yet
    watermark: datetime | None = None  # all ticks up to then are decided; None: never looked at
    checksum: str = ""  # of the schedule that it is decided by; empty: nobody has said
    seen: str = ""  # of its conditions: `TriggerState`
    pause: Pause | None = None
    ticks: tuple[TickRecord, ...] = ()  # those that are open, the oldest first: see MOST_WAITING


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """What is written of one pipeline at once, if nobody else has changed it meanwhile."""

    key: ScheduleKey
    version: int  # that was looked at
    watermark: datetime
    checksum: str = ""
    seen: str | None = None  # None: as it was
    ticks: tuple[TickRecord, ...] = ()  # new ones, and others as they are from now on


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """The last thing of a kind that happened."""

    run_id: str
    at: datetime
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """Everything a scheduler decides by, from one state of the database."""

    now: datetime  # by the clock of the database, which is the same for all schedulers
    schedules: Mapping[ScheduleKey, ScheduleRecord] = field(default_factory=dict)
    leases: Mapping[str, Lease] = field(default_factory=dict)  # that are held, by name
    queued: int = 0  # ticks that wait, of all pipelines

    def drives(self, run_id: str) -> bool:
        """Whether somebody executes a run at this moment."""
        return any(lease.run_id == run_id for lease in self.leases.values())
