"""In-memory doubles of the clock, the steps and the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dbtorch.adapters.dbt.warning_counts import DbtWarnings
from dbtorch.core.checks.idempotency import Content
from dbtorch.core.checks.relation_checks import RelationChecks
from dbtorch.core.errors import EngineError
from dbtorch.core.model.events import Attempt, Batch, Changed, Finished, Outcome, Started, Window
from dbtorch.core.model.state import FailureClass, State
from dbtorch.ports.engine import Engine, Place, Selected
from dbtorch.ports.loop import Emit

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
        self._set = timedelta()

    def now(self) -> datetime:
        """The time it was set to."""
        return self._now

    def calendar(self) -> datetime:
        """The same, unless it was set."""
        return self._now + self._set

    def set_calendar(self, seconds: float) -> None:
        """Set the calendar forward, or back, and nothing else."""
        self._set += timedelta(seconds=seconds)

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

    Once it has been opened, batches wait until it is told to go on. A source is checked by the
    script, too, as attempt 0; relations hold what ``contents`` says.
    """

    def __init__(
        self,
        emit: Emit,
        selected: Selected | EngineError,
        script: Script = lambda _: SUCCEEDS,
        contents: Mapping[str, Content] = {},
    ) -> None:
        super().__init__(emit, script)
        self._selected = selected
        self._waiting: list[Batch] | None = None  # None: nobody has to accept anything
        self._refused: Outcome | None = None
        self.contents = dict(contents)  # by relation, as SQL names it
        self.skipped: list[Changed] = []
        self.checks: Mapping[str, RelationChecks] = {}
        self.results: Mapping[str, Mapping[str, Any]] = {}  # of earlier executions
        self.releases = 0
        self.start_hooks = self.end_hooks = True
        self.warnings: list[str] = []
        self.dbt_warnings = DbtWarnings()

    # ---------------------------------------------------------------- opening

    def launch(self) -> None:
        """Start nothing: there is nothing to wait for."""

    @property
    def plans_from_cache(self) -> bool:
        """It answers at once."""
        return False

    def start_speculatively(self, cached: Selected | None) -> bool:
        """It answers at once."""
        del cached
        return False

    def prewarm(self) -> None:
        """Be ready for another batch, as it always is."""

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """The selection it was given, or the error."""
        if isinstance(self._selected, EngineError):
            raise self._selected
        self._waiting = []
        return self._selected

    def accept(self) -> None:
        """Execute what waits."""
        waiting, self._waiting = self._waiting or [], None
        for batch in waiting:
            self.start(batch)

    def refuse(self, why: str, failure_class: FailureClass = FailureClass.CODE) -> None:
        """Let everything fail."""
        self._refused = fails(why, failure_class)
        waiting, self._waiting = self._waiting or [], None
        self._hand_back(waiting, self._refused)

    def invalidate(self) -> None:
        """Hand back what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._hand_back(waiting, fails("planned again"))

    # ---------------------------------------------------------------- executing

    def adopt(
        self,
        results: Mapping[str, Mapping[str, Any]],
        microbatches: Mapping[str, Mapping[Window, bool]],
        unsettled: Collection[str] = (),
    ) -> None:
        """Note what earlier executions knew."""
        del microbatches, unsettled
        self.results = results

    def watch(self, checks: Mapping[str, RelationChecks]) -> None:
        """Note what is to be looked at."""
        self.checks = checks

    def start(self, batch: Batch) -> None:
        """Report each attempt as started and finished, once the engine was told to go on."""
        if self._refused is not None:
            self._hand_back([batch], self._refused)
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

    def skip(self, changes: Sequence[Changed]) -> None:
        """Note what does not run."""
        self.skipped.extend(changes)

    def release(self) -> None:
        """Count it."""
        self.releases += 1

    def leave_out_start_hooks(self) -> None:
        """Note it."""
        self.start_hooks = False

    def leave_out_end_hooks(self) -> None:
        """Note it."""
        self.end_hooks = False

    def abandon(self, why: str) -> None:
        """Let everything fail; nothing is under way here."""
        self.refuse(why, FailureClass.UNKNOWN)

    def close(self) -> None:
        """Execute nothing any more."""
        if self._refused is None:
            self.refuse("the engine was closed", FailureClass.UNKNOWN)

    def _hand_back(self, batches: Sequence[Batch], outcome: Outcome) -> None:
        for batch in batches:
            for attempt in batch.attempts:
                self._emit(Finished(attempt, outcome))

    # ---------------------------------------------------------------- questions

    def check_sources(self, sources: Sequence[str]) -> list[Outcome]:
        """What the script says of each."""
        return [self._script(Attempt(id, 0)) for id in sources]

    def gone(self, nodes: Sequence[str]) -> frozenset[str]:
        """Nothing is ever dropped."""
        del nodes
        return frozenset()

    def tables(self) -> Sequence[str]:
        """Every relation it was given."""
        return sorted(self.contents)

    def content(self, relation: str, *, ignore: Sequence[str] = ()) -> Content:
        """What it was given of a relation. Raises `EngineError` for another one."""
        del ignore
        if relation not in self.contents:
            raise EngineError(f"there is no {relation}")
        return self.contents[relation]

    def drop_schemas(self, prefix: str, databases: Sequence[str]) -> None:
        """Drop the relations whose names begin so."""
        del databases
        kept = {n: held for n, held in self.contents.items() if not n.startswith(prefix)}
        self.contents = kept

    def rows(self, sql: str, most: int) -> Sequence[Sequence[Any]]:
        """It understands no SQL. Raises `EngineError`."""
        del most
        raise EngineError(f"an engine in memory cannot execute {sql}")

    def columns(self, database: str, schema: str, name: str) -> Sequence[tuple[str, str, str]]:
        """Columns of what it was given, all of them text."""
        del database, schema
        held = self.contents.get(name)
        return [] if held is None else [(one, one, "text") for one in held.columns]

    def mark_schema(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> bool:
        """It has no schemas."""
        return False

    def clone(self, relation: Place, of: Place) -> bool:
        """It cannot."""
        return False

    def make(self, relation: Place, sql: str, *, view: bool) -> None:
        """It understands no SQL. Raises `EngineError`."""
        self.rows(sql, 0)

    def marked_schemas(
        self, databases: Sequence[str], pattern: str, table: str
    ) -> Sequence[tuple[str, str, Mapping[str, str] | None]]:
        """None."""
        return []

    def drop_marked(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> bool:
        """There is nothing to drop."""
        return False


_: Callable[..., Engine] = MemoryEngine  # mypy holds it to all of the port
