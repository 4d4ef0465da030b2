"""The live view of a terminal: a small area that is redrawn, and lines that scroll above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

from dbtorch.cli.render.area import Area
from dbtorch.cli.render.colour import OF_STATE, Colours
from dbtorch.cli.render.estimate import Estimate
from dbtorch.cli.render.frame import frame, waiting
from dbtorch.cli.render.lines import Line, Lines
from dbtorch.cli.render.output import Output
from dbtorch.cli.render.progress import Progress
from dbtorch.cli.render.summary_text import summary_text
from dbtorch.core.events import Changed
from dbtorch.core.history import RunRecord
from dbtorch.core.plan import Plan
from dbtorch.core.state import State
from dbtorch.ports import Clock

if TYPE_CHECKING:
    from dbtorch.core.summary import Summary

#: Ends of nodes that are worth a line of their own; all others only count.
_TOLD = (State.FAILED, State.UP_FOR_RETRY, State.WARN)

_LEVELS = {"warning": "yellow", "error": "red"}


def live_view(stream: TextIO, clock: Clock) -> LiveView:
    """The live view of a terminal."""
    return LiveView(Console(file=stream), Output(stream), clock)


class LiveView:
    """Implements `Renderer` on a terminal.

    It changes no mode of the terminal and leaves the cursor below the area after each redraw, so
    there is nothing to restore, whatever ends the process.
    """

    def __init__(
        self, console: Console, output: Output, clock: Clock, zone: tzinfo | None = None
    ) -> None:
        """``zone`` is the reader's time zone; None for this machine's."""
        self._console = console
        self._area = Area(console, output)
        self._clock = clock
        self._zone = zone
        self._since = clock.now()
        self._heading = ""
        self._progress: Progress | None = None
        self._estimate: Estimate | None = None
        self._lines: Lines | None = None
        self._above: list[Text] = []  # lines for the next redraw
        self._over = False

    def start(self, plan: Plan, run: RunRecord, log_path: Callable[[str, int], Path]) -> None:
        """The graph is known."""
        self._heading = f"{run.pipeline} on {run.target}"
        self._progress = Progress(plan, run, self._progress)
        self._lines = Lines(plan, self._progress, self._zone)
        self._estimate = Estimate(plan, self._progress)

    def changed(self, changes: Sequence[Changed]) -> None:
        """Count, and keep what is worth a line for the next redraw."""
        if self._lines is None or self._estimate is None:
            return
        self._above += [self._painted(x) for x in self._lines.tell(changes) if x.state in _TOLD]
        for change in changes:
            self._estimate.note(change.node_id, change.state)

    def note(self, text: str, *, level: str) -> None:
        """A line above the area."""
        self._above.append(Text(text, style=_LEVELS.get(level, "")))

    def tick(self, now: datetime) -> None:
        """Redraw."""
        if self._over:
            return
        above, self._above = self._above, []
        self._area.draw(self._frame(now), above)

    def finish(self, summary: Summary) -> None:
        """The summary takes the place of the area."""
        self.close()
        console = self._console
        colours = Colours(wanted=bool(console.color_system) and not console.no_color)
        self._area.write(f"\n{summary_text(summary, colours)}\n")

    def close(self) -> None:
        """Take the area away; what scrolled above it stays."""
        if self._over:
            return
        self._over = True
        self._area.draw([], self._above)

    def _frame(self, now: datetime) -> list[Text]:
        if self._progress is None or self._estimate is None:
            return waiting("starting dbt", self._since, now)
        return frame(
            self._heading,
            self._progress,
            self._estimate,
            since=self._since,
            now=now,
            height=self._console.size.height - 2,
        )

    def _painted(self, line: Line) -> Text:
        text = Text(line.text)
        style = OF_STATE.get(line.state or "")
        if style:
            text.stylize(style, 10, 15)  # the mark
        return text
