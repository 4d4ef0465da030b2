"""The loop: starts what is due, waits for what happens, tells everybody what changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from dbtorch.app.inbox import PATIENCE, Inbox, Interrupt, Requested, StartsPaused
from dbtorch.app.planning import Planned
from dbtorch.core.history.records import Action
from dbtorch.core.model.deadline import Late
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Changed,
    Event,
    MicrobatchesPlanned,
    Outdated,
    Progress,
)
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import Reason, ReasonKind, asked_by
from dbtorch.core.model.state import State
from dbtorch.core.run.breaker import Pause
from dbtorch.core.run.machine import Run

if TYPE_CHECKING:
    from dbtorch.core.run.timekeeper import Timekeeper
    from dbtorch.ports.engine import Engine
    from dbtorch.ports.loop import Clock, Listener
    from dbtorch.ports.steps import Steps

log = logging.getLogger(__name__)

#: What may change something.
Told: TypeAlias = Event | StartsPaused | Interrupt | Outdated | Requested


#: Kinds that are executed in dbt's session, and that dbt knows nothing of.
_NOT_DBTS = (Kind.STEP, Kind.CHECK, Kind.SESSION)


class Runner:
    """Drives one run to its end."""

    def __init__(
        self,
        run: Run,
        planned: Planned,
        *,
        engine: Engine,
        steps: Steps,
        inbox: Inbox,
        clock: Clock,
        recorder: Listener,
        listeners: Sequence[Listener] = (),
        on_pause: Callable[[Pause | None], None] = lambda _: None,
        timekeeper: Timekeeper | None = None,
        on_late: Callable[[Late], None] = lambda _: None,
        on_answered: Callable[[Action], None] = lambda _: None,
        on_progress: Callable[[Sequence[Progress]], None] = lambda _: None,
    ) -> None:
        """``recorder`` is told first, and what it raises ends the run; other listeners may fail.

        ``on_pause`` is told when the circuit breaker opens, and None when it closes; ``on_late``
        of a deadline that is missed or at risk; ``on_answered`` when what was requested has been
        written; ``on_progress`` of attempts that are under way, before the changes of a turn.
        What these raise ends the run.
        """
        self._run = run
        self._planned = planned
        self._engine = engine
        self._steps = steps
        self._inbox = inbox
        self._clock = clock
        self._recorder = recorder
        self._listeners = tuple(listeners)
        self._on_pause = on_pause
        self._timekeeper = timekeeper  # None where nothing is to be over by some time
        self._on_late = on_late
        self._on_answered = on_answered
        self._on_progress = on_progress
        self._asked: list[Interrupt | Requested] = []
        self._over_by: datetime | None = None  # when dbt is not waited for any longer
        self._paused = False
        self._heard_until: datetime | None = None  # when the last thing happened that was heard of

    def drive(self) -> None:
        """Run until every node is in a final state, or until nothing is under way when held."""
        run = self._run
        while not (run.finished or (run.held and run.idle)):
            due = run.due(self._clock.now())
            self._tell(due.changes)
            for batch in due.batches:
                self._start(batch)
            for attempt in due.cancels:
                self._cancel(attempt)
            heard = self._inbox.take(self._patience())
            changes = self._look_at_the_clock()
            events = [event for event in heard if not isinstance(event, Progress)]
            if len(events) < len(heard):
                self._note([event for event in heard if isinstance(event, Progress)])
            for event in events:
                changes += self._record(event)
            self._tell(changes)
            for event in events:
                if isinstance(event, Requested):
                    self._on_answered(event.action)
            self._tell_of_pause()
        if not run.finished:
            for event in self._asked:  # holds for the plan that goes on as well
                self._inbox.put(event)

    def _note(self, progress: Sequence[Progress]) -> None:
        """Write what attempts are about to build and have built; only then do they go on."""
        self._on_progress(progress)
        for event in progress:
            if isinstance(event, MicrobatchesPlanned):
                event.kept()

    def _patience(self) -> float | None:
        """Seconds until the run wants to be asked again; None for ever."""
        wake_at = self._run.wake_at()
        stuck = wake_at is None and self._run.idle and not self._run.finished
        if stuck and not self._run.held_back:
            left = [id for id, state in self._run.states.items() if not state.final]
            raise RuntimeError(f"the run is stuck, nothing is under way before: {left[:10]}")
        now = self._clock.now()
        times = [time for time in (wake_at, self._over_by) if time is not None]
        if self._timekeeper is not None:
            late_at = self._timekeeper.wakes_at(now, self._clock.calendar())
            times += [] if late_at is None else [late_at]
        return max(0.0, (min(times) - now).total_seconds()) if times else None

    def _look_at_the_clock(self) -> list[Changed]:
        """Say what is late, once, and do what its deadline says; leave a dbt that hangs."""
        now = self._clock.now()
        if self._over_by is not None and now >= self._over_by:
            self._over_by = None
            self._engine.abandon("dbt did not end in time after the run was cancelled")
        changes: list[Changed] = []
        if self._timekeeper is None:
            return changes
        for late in self._timekeeper.look(now, self._clock.calendar()):
            self._on_late(late)
            if self._timekeeper.cancels(late):
                changes += self._record(Interrupt(Reason(ReasonKind.DEADLINE)))
        return changes

    def _cancel_run(self, reason: Reason, now: datetime, within: float = PATIENCE) -> list[Changed]:
        over_by = now + timedelta(seconds=within)
        self._over_by = min(self._over_by or over_by, over_by)
        if self._timekeeper is not None:
            self._timekeeper.rest()
        self._engine.leave_out_end_hooks()
        return self._run.cancel(reason, now)

    def _record(self, event: Told) -> list[Changed]:
        now = self._clock.now()
        if isinstance(event, Interrupt | Requested):
            self._asked.append(event)
        if isinstance(event, Interrupt):
            return self._cancel_run(event.reason, now, event.within)
        if isinstance(event, Requested):
            return self._answer(event.action, now)
        if isinstance(event, StartsPaused):
            self._run.hold_back(event.yes)
            return []
        if isinstance(event, Outdated):
            self._run.hold()
            self._engine.invalidate()
            return []
        self._heard_until = self._when(event, now)
        return self._run.record(event, self._heard_until)

    def _when(self, event: Event, now: datetime) -> datetime:
        """When it happened, which may be a while ago, but not before what was heard earlier."""
        told: datetime | None = getattr(event, "at", None)  # by the calendar
        at = now if told is None else now - (self._clock.calendar() - told)
        return min(now, at if self._heard_until is None else max(at, self._heard_until))

    def _answer(self, action: Action, now: datetime) -> list[Changed]:
        if not action.node_id:
            return self._cancel_run(_asked(ReasonKind.RUN_CANCELLED, action), now)
        if action.node_id not in self._run.states:
            return []
        return self._run.cancel_node(action.node_id, _asked(ReasonKind.NODE_CANCELLED, action), now)

    def _start(self, batch: Batch) -> None:
        first = batch.attempts[0].node_id
        if first in self._planned.on_engine:
            self._engine.start(batch)
            return
        if first in self._planned.opens_database:
            self._engine.release()
        self._steps.start(batch)

    def _cancel(self, attempt: Attempt) -> None:
        side = self._engine if attempt.node_id in self._planned.on_engine else self._steps
        side.cancel(attempt)

    def _tell(self, changes: Sequence[Changed]) -> None:
        if not changes:
            return
        self._recorder(changes)
        if self._timekeeper is not None:
            self._timekeeper.note(changes)
        left_out = [change for change in changes if self._is_left_out(change)]
        if left_out:
            self._engine.skip(left_out)
        if any(change.retry_at and change.node_id in self._planned.on_engine for change in changes):
            self._engine.prewarm()
        for listener in self._listeners:
            try:
                listener(changes)
            except Exception:
                log.exception("a listener failed; the run goes on")

    def _tell_of_pause(self) -> None:
        if (self._run.pause is not None) != self._paused:
            self._paused = not self._paused
            self._on_pause(self._run.pause)

    def _is_left_out(self, change: Changed) -> bool:
        """Whether dbt's artifacts are to say that a node was skipped."""
        node = self._run.plan.graph.nodes[change.node_id]
        inside = node.id in self._planned.on_engine and node.kind not in _NOT_DBTS
        ended = change.state in (State.UPSTREAM_FAILED, State.SKIPPED, State.CANCELLED)
        called_off = change.reason.kind is ReasonKind.FAIL_FAST
        return inside and ended and (change.before is State.PENDING or called_off)


def _asked(kind: ReasonKind, action: Action) -> Reason:
    return Reason(kind, text=asked_by(action.actor, action.reason))
