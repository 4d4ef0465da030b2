"""What a step waits for in the graph: how often it is looked at, how long, and what then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dbtorch.core.model.state import State

#: Among what a query says of itself that waits: the warehouse has answered, and it does not hold.
NOT_YET = "dbtorch-not-yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Between two looks nothing is occupied: no thread, no process, no slot of a pool."""

    every: float = 10.0  # seconds between two looks
    patience: float = 3600.0  # seconds from the first one
    then: State = State.FAILED  # what it ends in when they are over, or skipped

    def again(self, *, first_look: datetime, now: datetime) -> datetime | None:
        """When to look again; None: that time is over."""
        until = first_look + timedelta(seconds=self.patience)
        return None if now >= until else min(now + timedelta(seconds=self.every), until)
