"""What becomes of the partitions of a backfill: a pure function of how it and the database stand.

As with ticks, whoever calls it writes the answer with a compare-and-set on the version that it was
decided by (`Backfills.decide_backfill`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.decide import MOST_CLAIMS
from dbtorch.core.schedule.ledger import LedgerView, ScheduleKey, TickState

#: Runs of a backfill at once, at most.
MOST_ACTIVE = 64

#: Runs of all backfills at once that one driver starts.
MOST_RUNS = 8


class PartState(StrEnum):
    """What has become of a partition of a backfill."""

    WAITING = "waiting"  # a run is to start, or to go on
    CLAIMED = "claimed"  # one is about to begin
    STARTED = "started"  # one has begun
    DONE = "done"  # it succeeded
    FAILED = "failed"  # it did not, or could not begin
    CANCELLED = "cancelled"  # it was cancelled, or never started

    @property
    def is_open(self) -> bool:
        """Whether something is still to come."""
        return self in (PartState.WAITING, PartState.CLAIMED, PartState.STARTED)


class BackfillState(StrEnum):
    """How a backfill stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    DONE = "done"  # all of its partitions succeeded
    FAILED = "failed"  # it is over, and some did not
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing of it starts any more."""
        return self not in (BackfillState.ACTIVE, BackfillState.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A partition, or several in a row, that one run is for."""

    ordinal: int  # the lowest one first
    key: str
    interval: Interval
    state: PartState = PartState.WAITING
    run_id: str = ""  # one that waits with a run goes on with that
    token: str = ""  # of the claim: only who has it may begin
    server: str = ""  # the name of the lease of who claimed it
    claims: int = 0
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    note: str = ""  # a sentence for people


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillSpec:
    """What a backfill runs, and how."""

    words: tuple[str, ...] = ()  # further words of `dbtorch run`: selections, parameters
    max_active: int = 1  # runs at once; of more than one each holds its partition alone
    partitions: int = 0  # how many there are; parts may be of several

    @property
    def shared(self) -> bool:
        """Whether its runs go on beside others of their pipeline."""
        return self.max_active > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """A backfill, with those of its parts that matter next."""

    id: str
    key: ScheduleKey
    spec: BackfillSpec
    created_at: datetime
    created_by: str = ""  # user@host
    reason: str = ""
    state: BackfillState = BackfillState.ACTIVE
    version: int = 0  # counts changes
    ended_at: datetime | None = None
    parts: tuple[Part, ...] = ()  # claimed and started ones, and the next that wait; or all
    counts: Mapping[PartState, int] = field(default_factory=dict)  # of all parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What else there is of a backfill's pipeline."""

    lease: str  # what a run of the pipeline holds
    next_tick: datetime | None = None  # when it is due next by its schedule
    tick_after: datetime | None = None  # the one after that
    expected: timedelta | None = None  # how long a part takes, by history


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillDecision:
    """What is to be written of a backfill, and what may start now."""

    parts: tuple[Part, ...] = ()  # changed ones
    ready: tuple[Part, ...] = ()  # may be claimed, the first one first
    state: BackfillState | None = None  # another one than it was


def decide_backfill(backfill: Backfill, view: LedgerView, beside: Beside) -> BackfillDecision:
    """Decide what of a backfill is lost, may start, and whether it is over.

    A backfill of one run at a time takes turns with its pipeline's ticks: those come first, and
    nothing starts that would, by history, still go on when the next is due.
    """
    kept = [_settled(part, view) for part in backfill.parts]
    changed = tuple(new for new, old in zip(kept, backfill.parts, strict=True) if new != old)
    active = [part for part in kept if part.state in (PartState.CLAIMED, PartState.STARTED)]
    waiting = [part for part in kept if part.state is PartState.WAITING]
    if not active and not waiting:
        failed = backfill.counts.get(PartState.FAILED, 0) + _moved(changed, PartState.FAILED)
        failed += backfill.counts.get(PartState.CANCELLED, 0)
        over = BackfillState.FAILED if failed else BackfillState.DONE
        return BackfillDecision(parts=changed, state=over)
    room = _most(backfill) - len(active)
    if backfill.state is not BackfillState.ACTIVE or room <= 0:
        return BackfillDecision(parts=changed)
    if not backfill.spec.shared and not _has_its_turn(backfill, view, beside):
        return BackfillDecision(parts=changed)
    waiting.sort(key=lambda part: (not part.run_id, part.ordinal))
    return BackfillDecision(parts=changed, ready=tuple(waiting[:room]))


def _most(backfill: Backfill) -> int:
    """Runs at once: one until one has succeeded, as that makes the tables that are not there."""
    return backfill.spec.max_active if backfill.counts.get(PartState.DONE) else 1


def claimed_part(part: Part, *, token: str, server: str, now: datetime) -> Part:
    """A part as its claimant has it."""
    return replace(
        part,
        state=PartState.CLAIMED,
        token=token,
        server=server,
        claims=part.claims + 1,
        claimed_at=now,
        note="",
    )


def given_back_part(part: Part) -> Part:
    """A part that its claimant leaves to whoever comes next; a run of it is gone on with."""
    return replace(part, state=PartState.WAITING, token="", server="")


def merged(parts: Sequence[Part], most: int) -> tuple[Part, ...]:
    """Consecutive parts together, so many in one."""
    found: list[list[Part]] = []
    for part in parts:
        last = found[-1][-1] if found else None
        adjoins = last is not None and part.interval.start == last.interval.end
        if found and adjoins and len(found[-1]) < most:
            found[-1].append(part)
        else:
            found.append([part])
    return tuple(_one(group, number) for number, group in enumerate(found))


def _one(group: Sequence[Part], ordinal: int) -> Part:
    first, last = group[0], group[-1]
    key = first.key if len(group) == 1 else f"{first.key}..{last.key}"
    interval = Interval(first.interval.start, last.interval.end)
    return Part(ordinal=ordinal, key=key, interval=interval)


def _settled(part: Part, view: LedgerView) -> Part:
    """A part whose claimant, or whose run's supervisor, is gone waits for the next one."""
    if part.state is PartState.STARTED and not view.drives(part.run_id):
        lost = True
    else:
        lost = part.state is PartState.CLAIMED and part.server not in view.leases
    if not lost:
        return part
    if part.claims >= MOST_CLAIMS:
        note = f"given up: it was begun {part.claims} times, and never ended"
        return replace(part, state=PartState.FAILED, ended_at=view.now, note=note)
    return given_back_part(part)


def _moved(changed: Sequence[Part], state: PartState) -> int:
    return sum(part.state is state for part in changed)


def _has_its_turn(backfill: Backfill, view: LedgerView, beside: Beside) -> bool:
    if beside.lease in view.leases:
        return False
    schedule = view.schedules.get(backfill.key)
    for tick in schedule.ticks if schedule is not None else ():
        if tick.state is TickState.STARTED or tick.due_at <= view.now:
            return False
    if beside.expected is None or beside.next_tick is None:
        return True
    if view.now + beside.expected <= beside.next_tick:
        return True
    after = beside.tick_after  # where no gap is long enough they take turns
    return after is not None and after - beside.next_tick < beside.expected
