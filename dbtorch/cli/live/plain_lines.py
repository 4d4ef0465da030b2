"""Plain lines, for logs and pipes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from dbtorch.cli.live.lines import Lines, begins
from dbtorch.cli.live.output import Output
from dbtorch.cli.live.progress import Progress
from dbtorch.cli.text.summary import summary_text
from dbtorch.cli.text.words import MARK
from dbtorch.core.failures.message import plain
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Changed
from dbtorch.core.plan import Plan
from dbtorch.core.text.moments import zone_of

if TYPE_CHECKING:
    from dbtorch.core.history.summary import Summary
    from dbtorch.core.model.dbt_warnings import DbtWarning
    from dbtorch.core.model.used_dbt import UsedDbt
    from dbtorch.ports.loop import Clock

#: Seconds after which a node that still runs is mentioned, and mentioned again; later ones follow
#: at the last distance. CI systems end jobs that say nothing for ten minutes.
_REMINDERS = (30, 60, 120, 240, 480)

#: Whoever says more than a line starts none that could be taken for one of ours.
_BREAK, _INDENTED = "\n", "\n" + " " * (12 + MARK)

_LEVELS = {"info": "NOTE", "warning": "WARN", "error": "ERROR"}


class PlainLines:
    """Implements `Renderer`: one line per node that ended, retry and failure."""

    def __init__(self, output: Output, clock: Clock, zone: tzinfo | None = None) -> None:
        """``zone`` is the reader's time zone; None for this machine's."""
        self._output = output
        self._clock = clock
        self._zone = zone
        self._progress: Progress | None = None
        self._lines: Lines | None = None
        self._reminded: dict[str, int] = {}

    def start(self, plan: Plan, run: RunRecord, dbt: UsedDbt | None = None) -> None:
        """Say what runs."""
        self._progress = Progress(plan, run, self._progress)
        self._lines = Lines(self._progress, self._zone)
        zone = zone_of(self._clock.now().astimezone(self._zone))
        self._say("START", begins(self._progress, run, dbt, zone))

    def changed(self, changes: Sequence[Changed]) -> None:
        """A line for everything that ended."""
        if self._lines is None:
            return
        for line in self._lines.tell(changes):
            self._output.line(line.text)

    def note(self, text: str, *, level: str) -> None:
        """A line."""
        self._say(_LEVELS.get(level, "NOTE"), text)

    def tick(self, now: datetime) -> None:
        """Mention what has been running for long."""
        if self._progress is None or self._lines is None:
            return
        running = self._progress.running
        self._reminded = {id: n for id, n in self._reminded.items() if id in running}
        for id, since in running.items():
            told = self._reminded.get(id, 0)
            if (now - since).total_seconds() >= _reminder(told):
                self._reminded[id] = told + 1
                self._output.line(self._lines.running(id, since, now).text)

    def warned(self, warning: DbtWarning) -> None:
        """A line, or several."""
        self.note(f"dbt: {warning}", level="warning")

    def finish(self, summary: Summary) -> None:
        """The summary."""
        self._output.line(f"\n{summary_text(summary)}")

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, mark: str, text: str) -> None:
        now = self._clock.now().astimezone(self._zone)
        self._output.line(
            f"{now:%H:%M:%S}  {mark:<{MARK}}  {plain(text).replace(_BREAK, _INDENTED)}"
        )


def _reminder(told: int) -> float:
    """Seconds after which a node is mentioned, when it was mentioned so often before."""
    if told < len(_REMINDERS):
        return _REMINDERS[told]
    return _REMINDERS[-1] + 240 * (told + 1 - len(_REMINDERS))
