"""By when a run is to be over, and what happens when it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from typing import Any


class DeadlineAction(StrEnum):
    """What a run does that is not over in time."""

    ALERT = "alert"  # it says so and goes on
    CANCEL = "cancel"  # it is cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRule:
    """What a user says: one of the two."""

    within: float | None = None  # seconds after the run started
    by: time | None = None  # the first such time after the run started


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """When one run is late."""

    at: datetime
    action: DeadlineAction = DeadlineAction.ALERT
    told: bool = False  # that it is late is in the history already

    def record(self) -> dict[str, Any]:
        """What the history keeps of it among a run's options."""
        return {"deadline": {"at": self.at.isoformat(), "action": self.action.value}}

    @classmethod
    def recorded(cls, options: Mapping[str, Any]) -> Deadline | None:
        """What was kept among these options."""
        kept = options.get("deadline")
        if kept is None:
            return None
        return cls(at=datetime.fromisoformat(kept["at"]), action=DeadlineAction(kept["action"]))

    def wakes_at(self) -> datetime | None:
        """When there is something to say; None when it has been said."""
        return None if self.told else self.at

    def missed(self, now: datetime) -> bool:
        """Whether there is something to say now."""
        return not self.told and now >= self.at
