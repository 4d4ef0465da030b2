"""The scheduler: looks how schedules stand, decides, claims what is ready, and starts it.

It keeps nothing that the database does not have but its own children, so that one that is started
again, or another one, goes on where it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import uuid4

from dbtorch.adapters.calendars import NotYet
from dbtorch.adapters.processes.liveness import this_host, this_process
from dbtorch.core.errors import DbtorchError
from dbtorch.core.history.records import Lease
from dbtorch.core.schedule.decide import claimed, given_back, removed
from dbtorch.core.schedule.ledger import (
    LedgerView,
    ScheduleChange,
    ScheduleKey,
    SkipReason,
    TickRecord,
    TickState,
)
from dbtorch.ports.store import Store
from dbtorch.schedule.children import Child, Starter
from dbtorch.schedule.lane import Lane
from dbtorch.schedule.log import Log
from dbtorch.schedule.unbegun import PAUSE, Change, after_its_child, rewrite, written
from dbtorch.service.schedule.timetable import Decided, TimedPipeline, next_tick

#: Renewals in the lifetime of a scheduler's lease.
_RENEWALS = 4

#: Seconds after which a pipeline that is broken is looked at again: a calendar may be back.
_TRY_AGAIN = 60.0


class Observer(Protocol):
    """Counts what happens."""

    def started(self, key: ScheduleKey, late: float) -> None:
        """A run was started, so many seconds after it was due."""

    def skipped(self, key: ScheduleKey, reason: SkipReason) -> None:
        """A tick was skipped."""

    def turned(self, view: LedgerView) -> None:
        """How things stand, after each turn."""


@dataclass(slots=True, kw_only=True)
class Scheduler:
    """One of those that share a ledger. All of it happens in one thread."""

    store: Store
    starter: Starter
    log: Log
    observer: Observer
    max_runs: int
    lifetime: timedelta
    timetable: dict[ScheduleKey, TimedPipeline] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)  # by their token
    lane: Lane | None = None  # of backfills, which take no slot
    kind: str = "serve"  # what its lease's name begins with
    stopping: bool = False
    held: bool = False  # nothing starts, and what is due waits
    waits: bool = False  # nothing starts for a moment: the database file is looked at
    _lease: Lease | None = field(default=None, init=False)
    _renewed: float = field(default=0.0, init=False)
    _looked: tuple[datetime, float] | None = field(default=None, init=False)
    _places: set[str] = field(default_factory=set, init=False)  # where it serves, or has served
    _configuration: int = field(default=0, init=False)  # counts readings of dbtorch.yml
    _started_with: dict[str, int] = field(default_factory=dict, init=False)  # that, by token
    _freed: dict[ScheduleKey, datetime] = field(default_factory=dict, init=False)  # of a run
    _broken: dict[ScheduleKey, tuple[float, str]] = field(default_factory=dict, init=False)
    _unread: set[ScheduleKey] = field(default_factory=set, init=False)  # of the last turn
    _cancelled: set[str] = field(default_factory=set, init=False)  # runs

    @property
    def name(self) -> str:
        """The name of its lease, by which others know that it lives."""
        assert self._lease is not None
        return self._lease.name

    @property
    def by_themselves(self) -> int:
        """How many pipelines start by a schedule, or by what happens."""
        return sum(one.runs_by_itself for one in self.timetable.values())

    def use(self, timetable: dict[ScheduleKey, TimedPipeline]) -> None:
        """From now on these are the schedules."""
        mine = self.store.identity
        self._places |= {mine.place(mine.target), *(key.place for key in timetable)}
        self.timetable = timetable
        self.held = False
        self._configuration += 1
        self._broken.clear()

    def hold(self) -> None:
        """Start nothing until there are schedules to `use`: no run could read dbtorch.yml."""
        self.held = True
        self._configuration += 1

    def turn(self) -> float:
        """Do what is to be done now; answers for how many seconds that is nothing, at most.

        Raises `StoreError`.
        """
        self._live()
        view = self._free(self._look())
        decided = self._decided(view)
        starts = self._chosen(decided)
        gone = self._removed(view)
        changes = [_change(one, starts.get(one.timed.key, ())) for one in decided]
        done = self.store.decide([*changes, *gone])
        for change in gone:
            if change.key in done:
                self._tell(change.key, change.ticks)
        for one in decided:
            if one.timed.key in done:
                self._tell(one.timed.key, one.decision.ticks)
                self._end_runs(one)
                for tick in starts.get(one.timed.key, ()):
                    self._start(one.timed.key, tick)
        if self.lane is not None:
            self.lane.turn(self.timetable, server=self.name, held=self.held or self.waits)
        self.observer.turned(view)
        return self._rest(view)

    def ended(self, *children: Child) -> None:
        """Children have ended: what they have not done is left to be done. Raises `StoreError`."""
        for child in children:
            if child.backfill and self.lane is not None:
                self.lane.ended(child)
        children = tuple(child for child in children if not child.backfill)
        changed: dict[str, bool] = {}
        for child in children:
            self.children.pop(child.token, None)
            self._freed[child.key] = self._now()
            code = child.process.returncode
            common = {"pipeline": child.key.pipeline, "run_id": child.run_id or None}
            level = "info" if code == 0 else "warning"
            self.log.write("run_process_ended", level=level, exit_code=code, **common)
            if self.lane is not None and code == 0:
                self.lane.look_back(child.key, self.timetable.get(child.key))
            before = self._started_with.pop(child.token, 0)
            changed[child.token] = before != self._configuration
        if self.stopping:
            return  # everything was given back
        of = {child.token: child for child in children}

        def unbegun(tick: TickRecord, now: datetime) -> TickRecord | None:
            return after_its_child(tick, of[tick.token], now, changed=changed[tick.token])

        self._rewrite(children, unbegun)

    def give_back(self) -> None:
        """Leave all that is under way to whoever comes next. Raises `StoreError`."""
        self.stopping = True
        self._rewrite(list(self.children.values()), lambda tick, _: given_back(tick))
        if self.lane is not None:
            self.lane.give_back()

    @property
    def under_way(self) -> list[Child]:
        """All that it has started and that has not ended."""
        return [*self.children.values(), *(self.lane.children.values() if self.lane else ())]

    def leave(self) -> None:
        """Say that nothing of this scheduler lives any more. Raises `StoreError`."""
        if self._lease is not None:
            self.store.release(self._lease)

    # ---------------------------------------------------------------- one turn

    def _live(self) -> None:
        """Let others know that this scheduler lives; who was taken for dead has another name."""
        now = time.monotonic()
        if self._lease is not None and now - self._renewed < self._patience:
            return
        if self._lease is None or not self.store.renew(self._lease):
            self._lease, _ = self.store.acquire(_own_lease(self.store, self.lifetime, self.kind))
        self._renewed = now

    def _look(self) -> LedgerView:
        view = self.store.ledger()
        self._looked = (view.now, time.monotonic())
        return view

    def _free(self, view: LedgerView) -> LedgerView:
        """What this scheduler has claimed, and then could neither start nor write, is free."""

        def freed(tick: TickRecord) -> TickRecord:
            mine = tick.server == self.name and tick.state is TickState.QUEUED and tick.token
            return given_back(tick) if mine and tick.token not in self.children else tick

        schedules = {
            key: replace(one, ticks=tuple(freed(tick) for tick in one.ticks)) if one.ticks else one
            for key, one in view.schedules.items()
        }
        return replace(view, schedules=schedules)

    def _now(self) -> datetime:
        """By the clock of the database, whatever this machine's says."""
        assert self._looked is not None
        at, then = self._looked
        return at + timedelta(seconds=time.monotonic() - then)

    @property
    def _patience(self) -> float:
        return self.lifetime.total_seconds() / _RENEWALS

    def _decided(self, view: LedgerView) -> list[Decided]:
        found = []
        self._unread.clear()
        for key, timed in self.timetable.items():
            tried, why = self._broken.get(key, (None, ""))
            if tried is not None and time.monotonic() - tried < _TRY_AGAIN:
                continue
            try:
                one = timed.turn(view)
            except NotYet:
                self._unread.add(key)
                continue
            except Exception as error:
                self._broken[key] = (time.monotonic(), str(error))
                if str(error) != why:
                    what = f"nothing of this pipeline starts until that is fixed: {error}"
                    self.log.write(
                        "pipeline_broken", level="error", pipeline=key.pipeline, message=what
                    )
                continue
            if self._broken.pop(key, None) is not None:
                self.log.write("pipeline_fixed", pipeline=key.pipeline)
            if one is not None and (one.changes or one.decision.ready or one.decision.cancel):
                found.append(one)
        return found

    def _chosen(self, decided: Sequence[Decided]) -> dict[ScheduleKey, list[TickRecord]]:
        """What is claimed now: what could have started for longest, as far as there is room.

        A pipeline that catches up so takes turns with the others.
        """
        room = 0 if self.stopping or self.held or self.waits else self.max_runs - len(self.children)
        ready = [(one.timed.key, tick) for one in decided for tick in one.decision.ready]
        ready.sort(key=lambda one: (not one[1].run_id, self._ready_since(*one)))
        found: dict[ScheduleKey, list[TickRecord]] = {}
        for key, tick in ready[: max(0, room)]:
            found.setdefault(key, []).append(tick)
        return {key: [self._claimed(tick) for tick in ticks] for key, ticks in found.items()}

    def _ready_since(self, key: ScheduleKey, tick: TickRecord) -> datetime:
        return max(tick.due_at, self._freed.get(key, tick.due_at))

    def _claimed(self, tick: TickRecord) -> TickRecord:
        return claimed(tick, token=uuid4().hex, server=self.name, now=self._now())

    def _start(self, key: ScheduleKey, tick: TickRecord) -> None:
        late = max(0.0, (self._now() - tick.due_at).total_seconds())
        try:
            child = self.starter.start(key, tick)
        except OSError as error:  # no process is left, or no memory
            self.log.write(
                "run_not_started", level="error", pipeline=key.pipeline, message=str(error)
            )
            again = self._now() + timedelta(seconds=PAUSE)
            mine = {key: {tick.token}}
            rewrite(self.store, self._look, mine, lambda tick, _: given_back(tick, due_at=again))
            return
        self.children[child.token] = child
        self._started_with[child.token] = self._configuration
        self.observer.started(key, late)
        self.log.write(
            "run_process_started",
            pipeline=key.pipeline,
            run_id=tick.run_id or None,
            scheduled_for=tick.scheduled_for.isoformat(),
            late_seconds=round(late, 3),
            trigger=str(tick.cause) if tick.cause is not None else None,
            pid=child.process.pid,
            warm=child.warm,
        )

    def _removed(self, view: LedgerView) -> list[ScheduleChange]:
        """What is left of pipelines that are not in dbtorch.yml any more, where this one runs."""
        serving = f"serve/{self.store.identity.project_id}/"
        alone = not any(name.startswith(serving) and name != self.name for name in view.leases)
        found = []
        for key, known in view.schedules.items():
            record = known
            there, watermark = self.timetable.get(key), record.watermark
            if not record.ticks or (there is not None and there.ticks is not None):
                continue
            if key.place not in self._places or watermark is None:
                continue
            if there is not None:  # it has lost its schedule, and may still be triggered
                record = replace(record, ticks=tuple(t for t in record.ticks if t.cause is None))
            ticks = removed(record, view, alone=alone)
            if ticks:
                found.append(written(record, watermark, ticks))
        return found

    def _tell(self, key: ScheduleKey, ticks: Iterable[TickRecord]) -> None:
        for tick in ticks:
            about = {"pipeline": key.pipeline, "scheduled_for": tick.scheduled_for.isoformat()}
            if tick.state is TickState.SKIPPED and tick.reason is not None:
                self.observer.skipped(key, tick.reason)
                self.log.write("tick_skipped", reason=tick.reason, **about)
            elif tick.state is TickState.DONE:
                run_id = tick.run_id or None
                self.log.write(
                    "tick_given_up", level="error", run_id=run_id, message=tick.note, **about
                )

    def _end_runs(self, one: Decided) -> None:
        for run_id in set(one.decision.cancel) - self._cancelled:
            self._cancelled.add(run_id)
            self._cancel(one.timed.key, run_id)

    def _cancel(self, key: ScheduleKey, run_id: str) -> None:
        from dbtorch.service.run.cancel import cancel

        reason = "its pipeline's next run is due (overlap: cancel_running)"
        try:
            cancel(self.store, run_id, reason=reason, wait=False)
        except DbtorchError as error:  # it has just ended
            self.log.write(
                "run_not_cancelled", pipeline=key.pipeline, run_id=run_id, message=str(error)
            )

    def _rest(self, view: LedgerView) -> float:
        following = self._next(view)
        if following is None:
            return self._patience
        return max(0.0, min((following - self._now()).total_seconds(), self._patience))

    def _next(self, view: LedgerView) -> datetime | None:
        unsound = self._broken.keys() | self._unread
        sound = {key: one for key, one in self.timetable.items() if key not in unsound}
        return next_tick(sound, view)

    def _rewrite(self, children: Iterable[Child], change: Change) -> None:
        tokens: dict[ScheduleKey, set[str]] = {}
        for child in children:
            tokens.setdefault(child.key, set()).add(child.token)
        rewrite(self.store, self._look, tokens, change)


def _change(one: Decided, claims: Sequence[TickRecord]) -> ScheduleChange:
    ticks = {tick.scheduled_for: tick for tick in (*one.decision.ticks, *claims)}
    change = written(one.record, one.decision.watermark, ticks.values())
    return replace(change, checksum=one.checksum, seen=one.seen)


def _own_lease(store: Store, lifetime: timedelta, kind: str) -> Lease:
    """The store says when it begins."""
    me, now = uuid4().hex[:12], datetime.now(UTC)
    return Lease(
        name=f"{kind}/{store.identity.project_id}/{me}",
        run_id=f"{kind}-{me}",
        host=this_host(),
        pid=os.getpid(),
        process=this_process(),
        acquired_at=now,
        expires_at=now + lifetime,
    )
