"""In-memory doubles of every port, for dbtorch's own tests and for yours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from dbtorch.core.checks import Watch
from dbtorch.core.events import Attempt, Batch, Changed, Finished, Outcome, Started
from dbtorch.core.state import FailureClass, State
from dbtorch.ports import Emit, EngineError, Selected

#: Answers what an attempt comes to.
Script = Callable[[Attempt], Outcome]

SUCCEEDS = Outcome(state=State.SUCCESS)


def fails(
    message: str = "connection lost", failure_class: FailureClass = FailureClass.TRANSIENT
) -> Outcome:
    """An outcome of an attempt that failed."""
    return Outcome(state=State.FAILED, message=message, failure_class=failure_class)


def scripted(outcomes: Mapping[str, Sequence[Outcome]]) -> Script:
    """Attempts of a node come to these outcomes, one after the other; all else succeeds."""

    def answer(attempt: Attempt) -> Outcome:
        mine = outcomes.get(attempt.node_id, ())
        return mine[attempt.number - 1] if attempt.number <= len(mine) else SUCCEEDS

    return answer


class FixedClock:
    """Implements `Clock`: stands still until it is told to go on."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        """The time it was set to."""
        return self._now

    def advance(self, seconds: float) -> datetime:
        """Go on; answers the new time."""
        self._now += timedelta(seconds=seconds)
        return self._now


class MemorySteps:
    """Implements `Steps`: every attempt ends at once, as the script says."""

    def __init__(self, emit: Emit, script: Script = lambda _: SUCCEEDS) -> None:
        self._emit = emit
        self._script = script
        self.started: list[Attempt] = []
        self.cancelled: list[Attempt] = []

    def start(self, batch: Batch) -> None:
        """Report each attempt as started and finished."""
        for attempt in batch.attempts:
            self.started.append(attempt)
            self._emit(Started(attempt))
            self._emit(Finished(attempt, self._script(attempt)))

    def cancel(self, attempt: Attempt) -> None:
        """Note it; the attempt has ended already."""
        self.cancelled.append(attempt)

    def kill(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is open."""


class MemoryEngine(MemorySteps):
    """Implements `Engine`: opens with what it was given, executes as the script says.

    Once it has been opened, batches wait until it is told to go on.
    """

    def __init__(
        self,
        emit: Emit,
        selected: Selected | EngineError,
        script: Script = lambda _: SUCCEEDS,
    ) -> None:
        super().__init__(emit, script)
        self._selected = selected
        self._waiting: list[Batch] | None = None  # None: nobody has to accept anything
        self._refused: str | None = None
        self.skipped: list[Changed] = []
        self.checks: Mapping[str, Watch] = {}
        self.releases = 0
        self.end_hooks = True

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """The selection it was given, or the error."""
        if isinstance(self._selected, EngineError):
            raise self._selected
        self._waiting = []
        return self._selected

    def watch(self, checks: Mapping[str, Watch]) -> None:
        """Note what is to be looked at."""
        self.checks = checks

    def start(self, batch: Batch) -> None:
        """Report each attempt as started and finished, once the engine was told to go on."""
        if self._refused is not None:
            self._hand_back([batch], fails(self._refused, FailureClass.CODE))
        elif self._waiting is not None:
            self._waiting.append(batch)
        else:
            super().start(batch)

    def cancel(self, attempt: Attempt) -> None:
        """Note it; an attempt that still waits ends, all others have."""
        super().cancel(attempt)
        waiting = [batch for batch in self._waiting or () if attempt in batch.attempts]
        for batch in waiting:
            self._waiting = [other for other in self._waiting or () if other is not batch]
        self._hand_back(waiting, fails("cancelled before it started"))

    def accept(self) -> None:
        """Execute what waits."""
        waiting, self._waiting = self._waiting or [], None
        for batch in waiting:
            self.start(batch)

    def refuse(self, why: str) -> None:
        """Let everything fail."""
        self._refused = why
        waiting, self._waiting = self._waiting or [], None
        self._hand_back(waiting, fails(why, FailureClass.CODE))

    def abandon(self, why: str) -> None:
        """Let everything fail; nothing is under way here."""
        self.refuse(why)

    def foresee(self) -> None:
        """Be ready for another batch, as it always is."""

    def forget(self) -> None:
        """Hand back what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._hand_back(waiting, fails("planned anew"))

    def _hand_back(self, batches: Sequence[Batch], outcome: Outcome) -> None:
        for batch in batches:
            for attempt in batch.attempts:
                self._emit(Finished(attempt, outcome))

    def skip(self, changes: Sequence[Changed]) -> None:
        """Note what does not run."""
        self.skipped.extend(changes)

    def release(self) -> None:
        """Count it."""
        self.releases += 1

    def leave_out_end_hooks(self) -> None:
        """Note it."""
        self.end_hooks = False
