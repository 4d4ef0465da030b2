"""Calendars that schedules leave days out of, for who needs them all the time and waits for none.

Each is read in a thread of its own, again every now and then. One that cannot be read any more
stays as it was; one that never was is no calendar, and who needs it does not run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from dbtorch.adapters.except_dates import dates_in, named
from dbtorch.core.errors import DbtorchError, ProjectError

#: Seconds after which a calendar is read again, and after which one that could not be is.
EVERY, AGAIN = 3600.0, 60.0

#: Seconds that a first reading may take before it is said that nothing comes.
PATIENCE = 30.0


class NotYet(ProjectError):
    """A calendar is just being read for the first time."""


@dataclass(slots=True)
class _Calendar:
    asked: float  # by the clock of `Calendars`
    reading: bool = True
    days: frozenset[date] | None = None
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Calendars:
    """The days of each source."""

    on_problem: Callable[[str], None]  # told a sentence, in another thread
    read: Callable[[str], frozenset[date]] = dates_in
    clock: Callable[[], float] = time.monotonic  # seconds
    version: int = field(default=0, init=False)  # counts changes of any calendar
    _known: dict[str, _Calendar] = field(default_factory=dict, init=False)

    def dates(self, source: str) -> frozenset[date]:
        """The days as they were read last. Raises `ProjectError`, `NotYet`; never waits."""
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = _Calendar(asked=self.clock())
            self._start(source, known)
        self._look(source, known)
        if known.days is not None:
            return known.days
        if known.problem:
            raise ProjectError(known.problem)
        if self.clock() - known.asked < PATIENCE:
            raise NotYet(f"{named(source)}, which a schedule excepts, is being read")
        raise ProjectError(
            f"{named(source)}, which a schedule excepts, has not answered for {PATIENCE:g} s"
        )

    def look(self) -> None:
        """Have those read again whose time has come; to be called every now and then."""
        for source, known in self._known.items():
            self._look(source, known)

    def _look(self, source: str, known: _Calendar) -> None:
        now = self.clock()
        if now - known.asked >= (AGAIN if known.problem and not known.reading else EVERY):
            known.asked, known.reading = now, True
            self._start(source, known)

    def _start(self, source: str, known: _Calendar) -> None:
        threading.Thread(
            target=self._read, args=(source, known), name="dbtorch-calendar", daemon=True
        ).start()

    def _read(self, source: str, known: _Calendar) -> None:
        try:
            found = self.read(source)
        except DbtorchError as error:
            known.problem = str(error)
            if known.days is not None:
                self.on_problem(f"its days stay as they were: {error}")
        else:
            known.problem = ""
            if found != known.days:
                known.days = found
                self.version += 1
        known.reading = False
