"""Ticks and leases in plain Python: a year of them takes SQL a quarter of an hour."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from dbtorch.adapters.processes.liveness import is_gone
from dbtorch.core.errors import TickLost
from dbtorch.core.history.records import Lease, RunRecord
from dbtorch.core.model.graph import Node
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.ledger import (
    LedgerView,
    ScheduleChange,
    ScheduleKey,
    ScheduleRecord,
    TickRecord,
    TickState,
)

_Ticks = dict[datetime, TickRecord]


class PlainLedger:
    """Implements `Ledger`, and of a store what begins and ends a run."""

    def __init__(self, identity: Identity, clock: Callable[[], datetime]) -> None:
        self.identity = identity
        self.clock = clock
        self._lock = threading.RLock()
        self._leases: dict[str, Lease] = {}
        self._schedules: dict[tuple[str, ScheduleKey], ScheduleRecord] = {}
        self._ticks: dict[tuple[str, ScheduleKey], _Ticks] = {}
        self._unsettled: dict[tuple[str, ScheduleKey], _Ticks] = {}  # those of them that are open

    def acquire(self, lease: Lease) -> tuple[Lease, None]:
        assert lease.name not in self._leases
        self._leases[lease.name] = lease
        return lease, None

    def release(self, lease: Lease) -> None:
        del self._leases[lease.name]

    def begin(self, run: RunRecord, nodes: Sequence[Node], *, tick: str) -> None:
        self._start_tick(tick, run.run_id)

    def end(self, run_id: str, state: RunState, at: datetime) -> None:
        self._end_tick(run_id, state, at)

    def ledger(self) -> LedgerView:
        """How all schedules stand, and who holds which lease."""
        with self._lock:
            now = self.clock()
            return LedgerView(
                now=now,
                schedules={
                    name[1]: self._with_ticks(name, schedule)
                    for name, schedule in self._schedules.items()
                    if name[0] == self.identity.project_id
                },
                leases={name: one for name, one in self._leases.items() if is_held(one, now)},
            )

    def decide(self, changes: Sequence[ScheduleChange]) -> frozenset[ScheduleKey]:
        """Write what was decided; answers for which pipelines nobody else came first."""
        with self._lock:
            return frozenset(change.key for change in changes if self._write(change))

    def ticks(
        self, pipeline: str | None = None, *, limit: int = 20, since: datetime | None = None
    ) -> list[tuple[ScheduleKey, TickRecord]]:
        """Ticks with what became of them, the newest first."""
        found = [
            (key, tick)
            for key, tick in self._mine()
            if pipeline in (None, key.pipeline) and (since is None or tick.scheduled_for >= since)
        ]
        found.sort(key=lambda one: one[0])
        return sorted(found, key=lambda one: one[1].scheduled_for, reverse=True)[:limit]

    def skipped(self) -> dict[tuple[str, str], int]:
        """How many ticks were skipped, by pipeline and reason."""
        reasons = ((key.pipeline, tick.reason.value) for key, tick in self._mine() if tick.reason)
        return dict(Counter(reasons))

    def _start_tick(self, token: str, run_id: str) -> None:
        for (project, key), ticks in self._unsettled.items():
            for tick in ticks.values():
                mine = project == self.identity.project_id and tick.token == token
                again = tick.state is TickState.STARTED and tick.run_id == run_id
                if mine and (tick.state is TickState.QUEUED or again):
                    started = replace(tick, state=TickState.STARTED, run_id=run_id)
                    self._keep_tick((project, key), replace(started, started_at=self.clock()))
                    self._touch(project, key)
                    return
        raise TickLost

    def _end_tick(self, run_id: str, state: RunState, at: datetime) -> None:
        for (project, key), ticks in self._unsettled.items():
            for tick in list(ticks.values()):
                if tick.run_id != run_id:
                    continue
                self._touch(project, key)
                goes_on = tick.state is TickState.QUEUED and state is RunState.CANCELLED
                if not goes_on:
                    done = replace(tick, state=TickState.DONE, ended_at=at)
                    self._keep_tick((project, key), done)

    def _write(self, change: ScheduleChange) -> bool:
        name = self._schedule_name(change.key)
        found = self._schedules.get(name, ScheduleRecord(key=change.key))
        if found.version != change.version:
            return False
        self._schedules[name] = replace(
            found,
            version=found.version + 1,
            watermark=change.watermark,
            checksum=change.checksum,
        )
        for tick in change.ticks:
            self._keep_tick(name, tick)
        return True

    def _keep_tick(self, name: tuple[str, ScheduleKey], tick: TickRecord) -> None:
        self._ticks.setdefault(name, {})[tick.scheduled_for] = tick
        unsettled = self._unsettled.setdefault(name, {})
        unsettled.pop(tick.scheduled_for, None)
        if tick.is_open:
            unsettled[tick.scheduled_for] = tick

    def _touch(self, project: str, key: ScheduleKey) -> None:
        found = self._schedules[project, key]
        self._schedules[project, key] = replace(found, version=found.version + 1)

    def _mine(self) -> list[tuple[ScheduleKey, TickRecord]]:
        mine = self.identity.project_id
        return [
            (name[1], tick)
            for name, ticks in self._ticks.items()
            for tick in ticks.values()
            if name[0] == mine
        ]

    def _with_ticks(
        self, name: tuple[str, ScheduleKey], schedule: ScheduleRecord
    ) -> ScheduleRecord:
        ticks = self._unsettled.get(name)
        return (
            replace(schedule, ticks=tuple(ticks[at] for at in sorted(ticks))) if ticks else schedule
        )

    def _schedule_name(self, key: ScheduleKey) -> tuple[str, ScheduleKey]:
        return (self.identity.project_id, key)


def is_held(lease: Lease, now: datetime) -> bool:
    """Whether a lease is not over, and its holder not known to be gone."""
    return lease.expires_at > now and not is_gone(lease.process, lease.pid)
