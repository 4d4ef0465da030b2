"""Plain lines, for logs and pipes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.cli.render.lines import Lines
from dbtorch.cli.render.output import Output
from dbtorch.cli.render.progress import Progress
from dbtorch.cli.render.summary_text import summary_text
from dbtorch.cli.render.words import many
from dbtorch.core.events import Changed
from dbtorch.core.history import RunRecord
from dbtorch.core.plan import Plan
from dbtorch.ports import Clock

if TYPE_CHECKING:
    from dbtorch.core.summary import Summary

#: Seconds after which a node that still runs is mentioned, and mentioned again; later ones follow
#: at the last distance. CI systems end jobs that say nothing for ten minutes.
_REMINDERS = (30, 60, 120, 240, 480)

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

    def start(self, plan: Plan, run: RunRecord, log_path: Callable[[str, int], Path]) -> None:
        """Say what runs."""
        self._progress = Progress(plan, run, self._progress)
        self._lines = Lines(plan, self._progress, self._zone)
        done = f", {self._progress.done} done before" if self._progress.done else ""
        what = f"{many(self._progress.total, 'node')} on target {run.target}{done}"
        self._say("START", f"{what}, pipeline {run.pipeline}, run {run.run_id}")

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

    def finish(self, summary: Summary) -> None:
        """The summary."""
        self._output.line(f"\n{summary_text(summary)}")

    def close(self) -> None:
        """Nothing is open."""

    def _say(self, mark: str, text: str) -> None:
        now = self._clock.now().astimezone(self._zone)
        self._output.line(f"{now:%H:%M:%S}  {mark:<5}  {text}")


def _reminder(told: int) -> float:
    """Seconds after which a node is mentioned, when it was mentioned so often before."""
    if told < len(_REMINDERS):
        return _REMINDERS[told]
    return _REMINDERS[-1] + 240 * (told + 1 - len(_REMINDERS))
