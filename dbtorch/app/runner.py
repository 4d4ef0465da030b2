"""The loop: starts what is due, waits for what happens, tells everybody what changed."""

from __future__ import annotations

import contextlib
import logging
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dbtorch.app.planning import Planned
from dbtorch.core.breaker import Pause
from dbtorch.core.events import Attempt, Batch, Changed, Event
from dbtorch.core.graph import Kind
from dbtorch.core.run import Run
from dbtorch.core.state import State
from dbtorch.ports import Clock, Engine, Listener, Steps

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outdated:
    """The plan rests on something that is no longer so; another one is to go on."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Somebody wants the run to stop: a signal, a lost lease."""

    reason: str


class Inbox:
    """Where engines, steps and signal handlers leave what happened."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event | Interrupt | Outdated] = queue.SimpleQueue()

    def put(self, event: Event | Interrupt | Outdated) -> None:
        """Leave something; safe from any thread and from signal handlers."""
        self._queue.put(event)

    def take(self, timeout: float | None) -> list[Event | Interrupt | Outdated]:
        """Wait for something, at most ``timeout`` seconds, then take all that is there."""
        with contextlib.suppress(queue.Empty):
            found = [self._queue.get(timeout=timeout)]
            while True:
                try:
                    found.append(self._queue.get_nowait())
                except queue.Empty:
                    return found
        return []


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
    ) -> None:
        """``recorder`` is told first, and what it raises ends the run; other listeners may fail.

        ``on_pause`` is told when the circuit breaker opens, and None when it closes.
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
        self._paused = False

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
            changes: list[Changed] = []
            for event in self._inbox.take(self._patience()):
                changes += self._record(event)
            self._tell(changes)
            self._tell_of_pause()

    def _patience(self) -> float | None:
        """Seconds until the run wants to be asked again; None for ever."""
        wake_at = self._run.wake_at()
        if wake_at is not None:
            return max(0.0, (wake_at - self._clock.now()).total_seconds())
        if self._run.idle and not self._run.finished:
            stuck = [id for id, state in self._run.states.items() if not state.final]
            raise RuntimeError(f"the run is stuck, nothing is under way before: {stuck[:10]}")
        return None

    def _record(self, event: Event | Interrupt | Outdated) -> list[Changed]:
        now = self._clock.now()
        if isinstance(event, Interrupt):
            self._engine.leave_out_end_hooks()
            return self._run.cancel(event.reason, now)
        if isinstance(event, Outdated):
            self._run.hold()
            self._engine.forget()
            return []
        return self._run.record(event, now)

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
        left_out = [change for change in changes if self._never_ran(change)]
        if left_out:
            self._engine.skip(left_out)
        for listener in self._listeners:
            try:
                listener(changes)
            except Exception:
                log.exception("a listener failed; the run goes on")

    def _tell_of_pause(self) -> None:
        if (self._run.pause is not None) != self._paused:
            self._paused = not self._paused
            self._on_pause(self._run.pause)

    def _never_ran(self, change: Changed) -> bool:
        node = self._run.plan.graph.nodes[change.node_id]
        inside = node.id in self._planned.on_engine and node.kind not in (Kind.STEP, Kind.SESSION)
        ended = change.state in (State.UPSTREAM_FAILED, State.SKIPPED, State.CANCELLED)
        return inside and ended and change.before is State.PENDING
