"""A step that dbt executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import FailureClass, State


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlStep:
    """A step that dbt executes: SQL in dbt's own templating."""

    text: str
    #: Why this attempt is left out, given `vars` and `target`; empty when it is not.
    skip: Callable[[Mapping[str, Any]], str]

    def left_out(self, known: Mapping[str, Any]) -> Outcome | None:
        """The outcome of an attempt that is left out, or whose condition cannot be told."""
        try:
            why = self.skip(known)
        except Exception as error:
            return Outcome(state=State.FAILED, message=str(error), failure_class=FailureClass.CODE)
        return Outcome(state=State.SKIPPED, message=why) if why else None
