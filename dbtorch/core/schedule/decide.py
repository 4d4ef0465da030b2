"""What becomes of the ticks of one pipeline: a pure function of its rules and how it stands.

Nothing of it knows a clock, a database or another pipeline. Whoever calls it writes the answer with
a compare-and-set on the version that it was decided by (`Ledger.decide`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dbtorch.core.schedule.ledger import (
    LedgerView,
    ScheduleRecord,
    SkipReason,
    TickRecord,
    TickState,
)
from dbtorch.core.schedule.rules import Catchup, DueTick, Overlap, Rules

#: A tick that starts so much later than it should was missed; of short intervals half of one.
ON_TIME = timedelta(minutes=1)

#: How long what a scheduler does not know is another one's that has read a newer dbtorch.yml.
ROLLOUT = timedelta(hours=1)

#: How often a tick is claimed at most: what kills its supervisor each time is not tried for ever.
MOST_CLAIMS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be written of one pipeline, and what may start now."""

    watermark: datetime
    ticks: tuple[TickRecord, ...] = ()  # new and changed ones
    ready: tuple[TickRecord, ...] = ()  # may be claimed, the first one first
    cancel: tuple[str, ...] = ()  # runs to end


def decide(
    rules: Rules,
    record: ScheduleRecord,
    due: Sequence[DueTick],
    view: LedgerView,
    *,
    watermark: datetime,
    lease: str = "",
    blackout: bool = False,
) -> Decision:
    """Decide the ticks that are ``due``, the oldest first, and what was left open.

    One run of a pipeline goes on at a time, as two would write the same tables. ``watermark`` is
    until when there are no others, ``lease`` the name of what a run of the pipeline holds,
    ``blackout`` whether nothing may start now.
    """
    kept = [_settled(tick, view) for tick in record.ticks]
    active = [tick for tick in kept if _is_active(tick, view)]
    waiting = [tick for tick in kept if tick.state is TickState.QUEUED and tick not in active]
    paused = rules.paused or record.pause is not None
    new = _classified(rules, due, view.now, paused=paused)
    queued, dropped = _overlapped(rules, active, waiting, new, view.now)
    free = not (paused or blackout or active or lease in view.leases)
    ready = [tick for tick in _in_order(queued) if tick.due_at <= view.now][:free]
    changed = {tick.scheduled_for: tick for tick in (*kept, *new, *dropped)}
    before = {tick.scheduled_for: tick for tick in record.ticks}
    return Decision(
        watermark=watermark,
        ticks=tuple(tick for at, tick in sorted(changed.items()) if before.get(at) != tick),
        ready=tuple(ready),
        cancel=_cancelled(rules, active, queued, paused=paused),
    )


def removed(record: ScheduleRecord, view: LedgerView, *, alone: bool) -> tuple[TickRecord, ...]:
    """What becomes of open ticks of a pipeline that is gone, or has no schedule any more.

    A run that goes on may end. While a scheduler is not ``alone`` another one may have read a newer
    dbtorch.yml, so those of the last hour are left to that.
    """
    found = []
    for tick in (_settled(tick, view) for tick in record.ticks):
        if _is_active(tick, view) or not (alone or view.now - tick.due_at >= ROLLOUT):
            continue
        if tick.run_id:
            why = "its run was not continued: the pipeline was removed, or lost its schedule"
            found.append(ended(tick, view.now, tick.note or why))
        else:
            found.append(_skipped(tick, SkipReason.REMOVED, view.now))
    return tuple(found)


def claimed(tick: TickRecord, *, token: str, server: str, now: datetime) -> TickRecord:
    """A tick as its claimant has it."""
    return replace(
        tick, token=token, server=server, claims=tick.claims + 1, claimed_at=now, note=""
    )


def given_back(tick: TickRecord, *, due_at: datetime | None = None) -> TickRecord:
    """A tick that its claimant leaves to whoever comes next; a run of it is gone on with."""
    return replace(tick, state=TickState.QUEUED, token="", server="", due_at=due_at or tick.due_at)


def ended(tick: TickRecord, now: datetime, note: str = "") -> TickRecord:
    """A tick of which nothing is to come any more."""
    return replace(tick, state=TickState.DONE, ended_at=now, note=note)


def _settled(tick: TickRecord, view: LedgerView) -> TickRecord:
    """A tick whose claimant, or whose run's supervisor, is gone waits for the next one."""
    if tick.state is TickState.STARTED and view.drives(tick.run_id):
        return tick
    if tick.state is TickState.QUEUED and (not tick.token or tick.server in view.leases):
        return tick
    if tick.claims >= MOST_CLAIMS:
        return ended(tick, view.now, f"given up: it was begun {tick.claims} times, and never ended")
    return given_back(tick)


def _is_active(tick: TickRecord, view: LedgerView) -> bool:
    """Whether a run of it goes on, or is about to begin; one that was given back may still end."""
    if tick.state is TickState.STARTED or (tick.state is TickState.QUEUED and tick.token):
        return True
    return tick.state is TickState.QUEUED and bool(tick.run_id) and view.drives(tick.run_id)


def _classified(
    rules: Rules, due: Sequence[DueTick], now: datetime, *, paused: bool
) -> list[TickRecord]:
    """New ticks, each queued or skipped for its own sake."""
    open = [one for one in due if not (paused or one.blackout or one.cause)]
    missed = [one for one in open if _is_late(one, now)]
    caught_up = _caught_up(rules, missed, now, newer=len(open) > len(missed))
    new = []
    for one in due:
        reason = None
        if one.blackout:
            reason = SkipReason.BLACKOUT
        elif paused:
            reason = SkipReason.PAUSED
        elif one in missed and one not in caught_up:
            reason = SkipReason.TOO_LATE
        new.append(
            TickRecord(
                scheduled_for=one.scheduled_for,
                interval=one.interval,
                due_at=one.due_at,
                cause=one.cause,
                state=TickState.SKIPPED if reason else TickState.QUEUED,
                reason=reason,
                backlog=reason is None and one in missed and rules.catchup is Catchup.ALL,
                ended_at=now if reason else None,
            )
        )
    return new


def _is_late(one: DueTick, now: datetime) -> bool:
    start = one.interval.start
    most = ON_TIME if start is None else min(ON_TIME, (one.interval.end - start) / 2)
    return now - one.due_at > most


def _caught_up(
    rules: Rules, missed: Sequence[DueTick], now: datetime, *, newer: bool
) -> list[DueTick]:
    """Those of the missed that run; ``newer`` says whether one that is on time comes after them."""
    window = rules.catchup_window
    inside = [one for one in missed if window is None or now - one.due_at <= window]
    if rules.catchup is Catchup.ALL:
        return inside[max(0, len(inside) - rules.max_catchup) :]
    if rules.catchup is Catchup.LATEST and not newer:
        return inside[-1:]
    return []


def _overlapped(
    rules: Rules,
    active: Sequence[TickRecord],
    waiting: Sequence[TickRecord],
    new: list[TickRecord],
    now: datetime,
) -> tuple[list[TickRecord], list[TickRecord]]:
    """What waits for its turn in the end, and what is dropped from the queue.

    What was begun, and what is caught up with, is dropped for nobody's sake.
    """
    queue, dropped = list(waiting), []
    for at, tick in enumerate(new):
        if tick.state is not TickState.QUEUED:
            continue
        if rules.overlap is Overlap.SKIP and (active or queue) and not tick.backlog:
            new[at] = _skipped(tick, SkipReason.OVERLAP, now)
            continue
        queue.append(tick)
    if rules.overlap in (Overlap.QUEUE_ONE, Overlap.CANCEL_RUNNING):
        plain = [tick for tick in queue if not (tick.backlog or tick.run_id)]
        plain.sort(key=lambda tick: tick.scheduled_for)
        dropped = [_skipped(tick, SkipReason.SUPERSEDED, now) for tick in plain[:-1]]
        gone = {tick.scheduled_for for tick in dropped}
        queue = [tick for tick in queue if tick.scheduled_for not in gone]
    return queue, dropped


def _skipped(tick: TickRecord, reason: SkipReason, now: datetime) -> TickRecord:
    return replace(tick, state=TickState.SKIPPED, reason=reason, ended_at=now)


def _in_order(queued: Iterable[TickRecord]) -> list[TickRecord]:
    """What was begun goes on first."""
    return sorted(queued, key=lambda tick: (not tick.run_id, tick.scheduled_for))


def _cancelled(
    rules: Rules, active: Sequence[TickRecord], queued: Sequence[TickRecord], *, paused: bool
) -> tuple[str, ...]:
    """Runs that a newer tick ends."""
    if rules.overlap is not Overlap.CANCEL_RUNNING or paused:
        return ()
    newest = max((tick.scheduled_for for tick in queued), default=None)
    return tuple(
        tick.run_id
        for tick in active
        if tick.run_id and newest is not None and tick.scheduled_for < newest
    )
