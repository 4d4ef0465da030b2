"""Looks at what pipelines start by, in the background: whoever decides takes what is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from dbtorch.adapters.conditions.unknown import Busy, Unknown
from dbtorch.adapters.tasks import Tasks
from dbtorch.core.config import PipelineSpec
from dbtorch.core.schedule.cause import CauseKind
from dbtorch.core.schedule.condition import Condition, TriggerSpec
from dbtorch.core.schedule.ledger import ScheduleKey
from dbtorch.core.schedule.news import Observation
from dbtorch.schedule.log import Log
from dbtorch.service.conditions.looker import Looker
from dbtorch.service.schedule.timetable import Looks

#: Threads that ask the history, and threads that wait for whatever else there is to look at.
_OF_HISTORY, _OF_OTHERS = 1, 8

#: Seconds after which what was busy is looked at again.
_SOON = 5.0

#: Kinds that the history answers.
_HISTORY = (CauseKind.PIPELINE, CauseKind.ASSET)


@dataclass(slots=True, kw_only=True)
class DatabaseTurn:
    """Whose turn it is with a database file that one process at a time may open (DuckDB).

    A look waits while any run of the project goes on, and no run starts while there is a look.
    """

    exclusive: bool  # whether there is such a file
    runs: Callable[[], bool]  # whether any run goes on
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @contextmanager
    def look(self) -> Iterator[None]:
        """Have it for a look. Raises `Busy`."""
        if not self.exclusive:
            yield
            return
        with self._lock:
            if self.runs():
                raise Busy
            yield

    @contextmanager
    def start(self) -> Iterator[bool]:
        """Keep looks from beginning; yields whether runs may start."""
        free = self._lock.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._lock.release()


@dataclass(slots=True)
class _Look:
    """A condition where a target builds."""

    condition: Condition
    place: str
    target: str | None = None  # None: that of the profile
    next_at: float = 0.0  # by the clock of `BackgroundLooks`
    looking: bool = False
    found: Observation | None = None
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class BackgroundLooks:
    """The looks of all pipelines; the same condition of several is looked at once."""

    looker: Looker
    log: Log
    clock: Callable[[], float] = time.monotonic  # seconds
    _known: dict[tuple[str, str], _Look] = field(default_factory=dict, init=False)
    _history: Tasks = field(init=False)
    _others: Tasks = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._history = Tasks(_OF_HISTORY, "dbtorch-look")
        self._others = Tasks(_OF_OTHERS, "dbtorch-look")

    def of(self, pipeline: PipelineSpec, spec: TriggerSpec, key: ScheduleKey) -> Looks:
        """What a pipeline starts by, and how it stands."""
        looks = [self._of(one, key.place, pipeline.target) for one in spec.looked_at]
        return Looks(spec=spec, look=lambda: self._look(looks))

    def close(self) -> None:
        """Begin no look any more."""
        self._history.close()
        self._others.close()

    def _of(self, one: Condition, place: str, target: str | None) -> _Look:
        look = self._known.setdefault((place, one.key), _Look(one, place, target))
        if one.interval < look.condition.interval:
            look.condition = one
        return look

    def _look(self, looks: list[_Look]) -> Mapping[str, Observation]:
        """What is known of these; those whose time has come are looked at by and by."""
        now = self.clock()
        for one in looks:
            if not one.looking and one.next_at <= now:
                one.looking = True
                tasks = self._history if one.condition.kind in _HISTORY else self._others
                tasks.submit(lambda one=one: self._take(one))  # type: ignore[misc]
        return {one.condition.key: one.found for one in looks if one.found is not None}

    def _take(self, one: _Look) -> None:
        found, problem, again = None, "", one.condition.interval
        try:
            found = self.looker.look(one.condition, one.place, target=one.target)
        except Unknown as error:
            problem = str(error)
        except Busy:
            problem, again = one.problem, min(again, _SOON)
        finally:
            one.next_at = self.clock() + again
            one.looking = False
        if found is not None:
            one.found = found
        if problem != one.problem:
            one.problem, name = problem, str(one.condition)
            if problem:
                self.log.write(
                    "condition_unknown", level="warning", condition=name, message=problem
                )
            else:
                self.log.write("condition_known", condition=name)
