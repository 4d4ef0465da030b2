"""Only what went wrong, for cron jobs: one that says nothing sends nobody a mail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from dbtorch.cli.live.plain_lines import PlainLines
from dbtorch.core.model.events import Changed
from dbtorch.core.model.state import RunState, State

if TYPE_CHECKING:
    from dbtorch.core.history.summary import Summary
    from dbtorch.core.model.dbt_warnings import DbtWarning

_TOLD = (State.FAILED, State.WARN)

#: dbt's warning that less ran than was asked for; its others are advice, as `dbt --quiet` has it.
_NOTHING_RAN = "NoNodesForSelectionCriteria"


class QuietLines(PlainLines):
    """Implements `Renderer`: failures and warnings, and the summary of a run that had some."""

    def changed(self, changes: Sequence[Changed]) -> None:
        """A line for what failed or warns."""
        if self._lines is not None:
            for line in self._lines.tell(changes):
                if line.state in _TOLD:
                    self._output.line(line.text)

    def note(self, text: str, *, level: str) -> None:
        """A line, unless it only informs."""
        if level != "info":
            super().note(text, level=level)

    def warned(self, warning: DbtWarning) -> None:
        """A line for a selection that matches nothing."""
        if warning.name == _NOTHING_RAN:
            super().warned(warning)

    def tick(self, now: datetime) -> None:
        """Nothing is said about what takes its time."""

    def finish(self, summary: Summary) -> None:
        """The summary, where there is something in it to act on."""
        if summary.state is not RunState.SUCCESS or summary.warnings:
            super().finish(summary)

    def _say(self, mark: str, text: str) -> None:
        if mark != "START":
            super()._say(mark, text)
