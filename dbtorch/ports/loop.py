"""What the loop of a run is given, and gives to others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:  # so that a command that only reads imports no more of the core than it uses
    from dbtorch.core.model.events import Changed, Report

#: Told everything that changed in one turn of the loop, in order.
Listener: TypeAlias = "Callable[[Sequence[Changed]], None]"

#: Where engines and step runners put their events; safe to call from any thread.
Emit: TypeAlias = "Callable[[Report], None]"


class Clock(Protocol):
    """The time, so that nothing else asks the operating system for it; aware, in UTC."""

    def now(self) -> datetime:
        """The time for all that lasts: it goes on evenly, also when the calendar is set."""

    def calendar(self) -> datetime:
        """What the calendar says now, for a time of day, or somebody else's timestamp."""
