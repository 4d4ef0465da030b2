"""Looks of steps that wait, for whoever runs steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dbtorch.adapters.conditions.unknown import Busy, Unknown
from dbtorch.adapters.config.trigger_keys import waiting
from dbtorch.core.config import StepSpec
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import State
from dbtorch.core.schedule.cause import CauseKind
from dbtorch.core.schedule.condition import ConditionSet
from dbtorch.ports.steps import StepContext
from dbtorch.service.conditions.looker import Looker

#: What is dated, and may have happened too long ago.
_DATED = (CauseKind.PIPELINE, CauseKind.ASSET)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLooks:
    """Says of a step that waits whether what it waits for holds."""

    looker: Looker
    context: StepContext
    place: str  # where the run's target builds
    _read: dict[str, ConditionSet] = field(default_factory=dict, init=False)  # by step

    def __call__(self, spec: StepSpec, rendered: Callable[[Any], Any]) -> Outcome:
        """Succeeded if it holds; else failed, and waiting."""
        conditions = self._read.get(spec.name)
        if conditions is None:
            conditions = self._read[spec.name] = waiting(spec.action).conditions
        held: dict[str, str] = {}
        unknown = []
        for one in conditions.conditions:
            since = self.context.data_interval_end - timedelta(seconds=one.max_age)
            try:
                found = self.looker.look(
                    one,
                    self.place,
                    rendered=rendered,
                    since=since if one.kind in _DATED else None,
                )
            except (Unknown, Busy) as error:
                unknown.append(str(error))
                continue
            if found.words:
                held[one.key] = found.text or str(one)
        if conditions.met(set(held)):
            return Outcome(state=State.SUCCESS, message=" and ".join(held.values()))
        why = f" ({'; '.join(unknown)})" if unknown else ""
        message = f"waits for {conditions}{why}"
        return Outcome(state=State.FAILED, message=message, waits=True)
