"""By when a run, or a node of it, is to be over, and what happens when it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

    within: float | None = None  # seconds after the run was planned to start, or started
    by: time | None = None  # the first such time after that


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """When one run is late."""

    at: datetime
    action: DeadlineAction = DeadlineAction.ALERT
    told: bool = False  # that it is late is in the history already
    by_calendar: bool = field(default=False, compare=False)  # "08:00", not "2h"

    def record(self) -> dict[str, Any]:
        """What the history keeps of it among a run's options."""
        kept = {"at": self.at.isoformat(), "action": self.action.value}
        return {"deadline": {**kept, "by_calendar": self.by_calendar}}

    @classmethod
    def recorded(cls, options: Mapping[str, Any]) -> Deadline | None:
        """What was kept among these options."""
        kept = options.get("deadline")
        if kept is None:
            return None
        return cls(
            at=datetime.fromisoformat(kept["at"]),
            action=DeadlineAction(kept["action"]),
            by_calendar=bool(kept.get("by_calendar")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A deadline that was missed, or that by the history will be."""

    node_id: str = ""  # empty for the run as a whole
    deadline: datetime
    at: datetime  # when that was found out
    missed: bool
    expected: datetime | None = None  # when it will be over, where it is at risk
    costliest: str = ""  # the node that holds it up most
    costs: float = 0.0  # seconds that this one still takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Everything that is to be over by some time in one run; what was told is not told again."""

    run: Deadline | None = None
    nodes: Mapping[str, datetime] = field(default_factory=dict)
    by_calendar: frozenset[str] = frozenset()  # those of the nodes that are times of day
    missed: frozenset[str] = frozenset()  # nodes of which it was told
    at_risk: frozenset[str] = frozenset()  # the same; "" is the run

    def record(self) -> dict[str, Any]:
        """What the history keeps of them among a run's options."""
        kept = self.run.record() if self.run is not None else {}
        if self.nodes:
            kept["node_deadlines"] = {id: at.isoformat() for id, at in self.nodes.items()}
        return kept


def node_deadlines(options: Mapping[str, Any]) -> dict[str, datetime]:
    """What was kept among these options of nodes that are to be over by some time."""
    kept = options.get("node_deadlines") or {}
    return {id: datetime.fromisoformat(at) for id, at in kept.items()}
