"""Who is told of a run while it is executed, and how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from dbtorch.core.failures.scrub import Scrubber
    from dbtorch.core.history.records import RunRecord
    from dbtorch.core.history.summary import Summary
    from dbtorch.core.model.dbt_warnings import DbtWarning
    from dbtorch.core.model.events import Changed
    from dbtorch.core.model.state import RunState
    from dbtorch.core.model.used_dbt import UsedDbt
    from dbtorch.core.plan import Plan
    from dbtorch.ports.loop import Clock

log = logging.getLogger("dbtorch")


class RunListener(Protocol):
    """Hears of a run. It never raises, and never makes the run wait."""

    def start(self, plan: Plan, run: RunRecord, dbt: UsedDbt | None = None) -> None:
        """The plan is made and the run begins."""

    def changed(self, changes: Sequence[Changed]) -> None:
        """Nodes changed."""

    def note(self, text: str, *, level: str) -> None:
        """Something to say that is about no node; ``level`` is info, warning or error."""

    def warned(self, warning: DbtWarning) -> None:
        """Dbt warns of something."""

    def finish(self, summary: Summary) -> None:
        """The run has ended."""

    def close(self) -> None:
        """Nothing more comes; returns when everything is written. Twice is fine."""


#: Makes the listener of a run, once it is known which secrets nobody may be told.
Listen: TypeAlias = "Callable[[Clock, Scrubber], RunListener]"


class LogListener:
    """Tells the logger ``dbtorch`` what is about no node, and a function what changed."""

    def __init__(
        self, on_change: Callable[[Sequence[Changed]], None], hide: Callable[[str], str] = str
    ) -> None:
        """``hide`` takes secrets out of remarks."""
        self._on_change = on_change
        self._hide = hide

    def start(self, plan: Plan, run: RunRecord, dbt: UsedDbt | None = None) -> None:
        """Say which run it is."""
        log.info("run %s begins", run.run_id)

    def changed(self, changes: Sequence[Changed]) -> None:
        """Hand changes on; what a listener does wrong is its own affair."""
        try:
            self._on_change(changes)
        except BaseException:  # also who leaves the interpreter: this is a thread of the run
            log.exception("on_change raised; the run goes on")

    def note(self, text: str, *, level: str) -> None:
        """Log it."""
        log.log(logging.getLevelName(level.upper()), "%s", self._hide(text))

    def warned(self, warning: DbtWarning) -> None:
        """Log it."""
        log.warning("dbt: %s", self._hide(str(warning)))

    def finish(self, summary: Summary) -> None:
        """The caller is given the result."""

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """How an execution of a run ended."""

    run_id: str
    state: RunState
    record: RunRecord | None  # None: the selection was empty, so there is nothing in the history
