"""The lane of backfills: runs beside those that are due, which take no slot of theirs.

As the scheduler, it keeps nothing that the database does not have but its own children.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dbtorch.core.exit_codes import Again, again
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.backfill import (
    MOST_RUNS,
    Backfill,
    BackfillDecision,
    Beside,
    Part,
    PartState,
    claimed_part,
    decide_backfill,
    given_back_part,
)
from dbtorch.core.schedule.cause import Cause, CauseKind
from dbtorch.core.schedule.ledger import PART, LedgerView, ScheduleKey, TickRecord
from dbtorch.schedule.children import Child, Starter
from dbtorch.schedule.log import Log
from dbtorch.service.project.options import TICK, TICK_SHARED
from dbtorch.service.schedule.causes import telling
from dbtorch.service.schedule.timetable import NEVER, TimedPipeline

if TYPE_CHECKING:
    from dbtorch.ports.store import Store

#: How often the launch of a run that has not begun is tried, by what its exit code says.
_LAUNCHES = {Again.ONCE: 2, Again.YES: 3}

#: Seconds until a launch is tried again, times the tries.
_PAUSE = 10.0


@dataclass(slots=True, kw_only=True)
class Lane:
    """The backfills of one scheduler. All of it happens in the scheduler's thread."""

    store: Store
    starter: Starter
    log: Log
    only: str = ""  # the one backfill that is driven; empty: all
    max_runs: int = MOST_RUNS
    children: dict[str, Child] = field(default_factory=dict)  # by their token
    stopping: bool = False
    _later: dict[str, float] = field(default_factory=dict, init=False)  # backfills, until when
    _served: dict[str, float] = field(default_factory=dict, init=False)  # when one of it started
    _took: dict[str, list[float]] = field(default_factory=dict, init=False)  # seconds of its runs

    def turn(
        self,
        timetable: Mapping[ScheduleKey, TimedPipeline],
        *,
        server: str,
        held: bool = False,
    ) -> None:
        """Start what may start now; whoever has had no run for longest comes first.

        Raises `StoreError`.
        """
        if self.stopping:
            return
        found = [one for one in self.store.backfills() if self.only in ("", one.id)]
        if not found:
            return
        view = self.store.ledger()  # after them: a run holds its lease before its part is started
        for one in sorted(found, key=lambda one: self._served.get(one.id, 0.0)):
            beside = self._beside(one, view, timetable.get(one.key))
            self._decide(_free(one, self.children, server), one, view, beside, server, held=held)

    def _decide(
        self,
        freed: Backfill,
        known: Backfill,
        view: LedgerView,
        beside: Beside,
        server: str,
        *,
        held: bool,
    ) -> None:
        decision = decide_backfill(freed, view, beside)
        late = time.monotonic() < self._later.get(known.id, 0.0)
        room = 0 if held or late else max(0, self.max_runs - len(self.children))
        claims = [
            claimed_part(part, token=f"{PART}{uuid4().hex}", server=server, now=view.now)
            for part in decision.ready[:room]
        ]
        changed = {part.ordinal: part for part in (*_freed(freed, known), *decision.parts, *claims)}
        if not changed and decision.state is None:
            return
        if not self.store.decide_backfill(known, [*changed.values()], decision.state):
            return
        for part in claims:
            self._start(known, part)
        self._tell(known, decision)

    def _start(self, one: Backfill, part: Part) -> None:
        tick = TickRecord(
            scheduled_for=part.interval.end,
            interval=part.interval,
            due_at=one.created_at,
            run_id=part.run_id,
            token=part.token,
        )
        try:
            child = self.starter.start(one.key, tick, _words(one, part), _about(one, part))
        except OSError as error:  # no process is left, or no memory
            self._later[one.id] = time.monotonic() + _PAUSE
            self._say("run_not_started", one, part, level="error", message=str(error))
            self._rewrite(one.id, part.token, lambda part, _: given_back_part(part))
            return
        child.backfill = one.id
        self.children[part.token] = child
        self._served[one.id] = time.monotonic()
        self._say("run_process_started", one, part, pid=child.process.pid, warm=child.warm)

    def ended(self, child: Child) -> None:
        """A child has ended: what it has not done is left to be done. Raises `StoreError`."""
        self.children.pop(child.token, None)
        if self.stopping:
            return
        code = child.process.returncode
        about = {"pipeline": child.key.pipeline, "backfill": child.backfill}
        run_id = child.run_id or None
        level = "info" if code == 0 else "warning"
        self.log.write("run_process_ended", level=level, exit_code=code, run_id=run_id, **about)
        if code == 0:
            took = self._took.setdefault(child.backfill, [])
            took.append(time.monotonic() - self._served.get(child.backfill, time.monotonic()))

        def unbegun(part: Part, now: datetime) -> Part | None:
            return self._unbegun(part, child, now)

        self._rewrite(child.backfill, child.token, unbegun)

    def look_back(self, key: ScheduleKey, timed: TimedPipeline | None) -> None:
        """After a run that was due, have partitions built again that may have late data by now."""
        spec = timed.pipeline.partition if timed is not None else None
        if self.stopping or spec is None or not spec.lookback:
            return
        now = datetime.now(UTC)
        tick = TickRecord(
            scheduled_for=now, interval=Interval(None, now), due_at=now, token=uuid4().hex
        )
        words = ["backfill", key.pipeline, "--late", "--reason", "late data (lookback)"]
        try:
            child = self.starter.start(key, tick, words, {})
        except OSError as error:  # no process is left, or no memory: after the next run
            self.log.write(
                "run_not_started", level="error", pipeline=key.pipeline, message=str(error)
            )
            return
        child.backfill = "late data"
        self.children[tick.token] = child

    def give_back(self) -> None:
        """Leave all that is under way to whoever comes next. Raises `StoreError`."""
        self.stopping = True
        for child in list(self.children.values()):
            self._rewrite(child.backfill, child.token, lambda part, _: given_back_part(part))

    def _unbegun(self, part: Part, child: Child, now: datetime) -> Part | None:
        """What becomes of a part whose child has ended without having begun; None: it had."""
        if part.state is not PartState.CLAIMED:
            return None
        code = child.process.returncode
        if part.claims < _LAUNCHES.get(again(code), 1):
            self._later[child.backfill] = time.monotonic() + _PAUSE * part.claims
            return given_back_part(part)
        said = f"exit code {code}" + (f": {child.last_words}" if child.last_words else "")
        if code == 0 and self._has_succeeded(part.run_id):  # there was nothing to retry
            return replace(part, state=PartState.DONE, ended_at=now)
        note = "there was nothing to run" if code == 0 else f"the run could not begin ({said})"
        return replace(part, state=PartState.FAILED, ended_at=now, note=note)

    def _has_succeeded(self, run_id: str) -> bool:
        run = self.store.run(run_id, transitions=False) if run_id else None
        return run is not None and run.state is RunState.SUCCESS

    def _rewrite(
        self, id: str, token: str, change: Callable[[Part, datetime], Part | None]
    ) -> None:
        """Change a part that is still claimed with a token, whoever writes meanwhile."""
        while True:
            one = next((one for one in self.store.backfills() if one.id == id), None)
            part = next((part for part in one.parts if part.token == token), None) if one else None
            changed = change(part, self.store.ledger().now) if part is not None else None
            if one is None or changed is None or self.store.decide_backfill(one, [changed]):
                return

    def _beside(self, one: Backfill, view: LedgerView, timed: TimedPipeline | None) -> Beside:
        lease = self.store.identity.lease(one.key.pipeline, one.key.place)
        took = sorted(self._took.get(one.id, ())[-9:])
        expected = timedelta(seconds=took[len(took) // 2]) if took else None
        if timed is None:
            return Beside(lease=lease, expected=expected)
        schedule = view.schedules.get(one.key)
        since = schedule.watermark if schedule is not None else None
        following = timed.next_after(since or view.now)
        if following >= NEVER:
            return Beside(lease=lease, expected=expected)
        return Beside(
            lease=lease,
            expected=expected,
            next_tick=following,
            tick_after=timed.next_after(following) if expected is not None else None,
        )

    def _tell(self, one: Backfill, decision: BackfillDecision) -> None:
        for part in decision.parts:
            if part.state is PartState.FAILED:
                self._say("backfill_part_failed", one, part, level="error", message=part.note)
        if decision.state is not None:
            self.log.write(
                "backfill_ended",
                level="info" if decision.state == "done" else "warning",
                pipeline=one.key.pipeline,
                backfill=one.id,
                state=decision.state,
            )

    def _say(self, event: str, one: Backfill, part: Part, **fields: Any) -> None:
        self.log.write(
            event,
            pipeline=one.key.pipeline,
            backfill=one.id,
            partition=part.key,
            run_id=part.run_id or None,
            **fields,
        )


def _free(one: Backfill, children: Mapping[str, Child], server: str) -> Backfill:
    """What this driver has claimed, and then could neither start nor write, waits again."""
    return replace(
        one,
        parts=tuple(
            given_back_part(part)
            if part.state is PartState.CLAIMED
            and part.server == server
            and part.token not in children
            else part
            for part in one.parts
        ),
    )


def _freed(freed: Backfill, known: Backfill) -> Iterable[Part]:
    return (new for new, old in zip(freed.parts, known.parts, strict=True) if new != old)


def _words(one: Backfill, part: Part) -> list[str]:
    """What a run is started with: a run like any other, with another partition."""
    if part.run_id:
        return ["retry", part.run_id, "--reason", f"backfill {one.id} goes on"]
    return ["run", "--pipeline", one.key.pipeline, "--partition", part.key, *one.spec.words]


def _about(one: Backfill, part: Part) -> dict[str, str]:
    cause = Cause(kind=CauseKind.BACKFILL, text=f"backfill {one.id}", by=one.created_by)
    shared = {TICK_SHARED: "1"} if one.spec.shared else {}
    return {TICK: part.token, **telling(cause), **shared}
