"""The live view of a terminal: a small area that is redrawn, and lines that scroll above it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from dbtorch.cli.live.area import Area
from dbtorch.cli.live.estimate import Estimate
from dbtorch.cli.live.frame import frame, waiting
from dbtorch.cli.live.lines import Line, Lines, begins
from dbtorch.cli.live.output import Output
from dbtorch.cli.live.painted import Painted
from dbtorch.cli.live.progress import Progress
from dbtorch.cli.text.colour import OF_STATE, Colours
from dbtorch.cli.text.summary import summary_text
from dbtorch.cli.text.terminal import shown
from dbtorch.cli.text.words import MARK
from dbtorch.core.failures.message import plain
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Changed
from dbtorch.core.model.state import State
from dbtorch.core.plan import Plan
from dbtorch.core.text.moments import zone_of
from dbtorch.ports.loop import Clock

if TYPE_CHECKING:
    from dbtorch.core.history.summary import Summary
    from dbtorch.core.model.dbt_warnings import DbtWarning
    from dbtorch.core.model.used_dbt import UsedDbt

#: Ends of nodes that are worth a line of their own; all others only count.
_TOLD = (State.FAILED, State.UP_FOR_RETRY, State.WARN)

_LEVELS = {"warning": "yellow", "error": "red"}


class LiveView:
    """Implements `Renderer` on a terminal.

    It changes no mode of the terminal and leaves the cursor below the area after each redraw, so
    there is nothing to restore, whatever ends the process.
    """

    def __init__(
        self,
        output: Output,
        clock: Clock,
        colours: Colours,
        *,
        size: Callable[[], tuple[int, int]] = shutil.get_terminal_size,
        zone: tzinfo | None = None,
    ) -> None:
        """``size`` answers columns and lines of the terminal; ``zone`` is the reader's time zone.

        None for this machine's.
        """
        self._area = Area(output, colours)
        self._colours = colours
        self._size = size
        self._clock = clock
        self._zone = zone
        self._since = clock.now()
        self._heading = ""
        self._progress: Progress | None = None
        self._estimate: Estimate | None = None
        self._lines: Lines | None = None
        self._above: list[Painted] = []  # lines for the next redraw
        self._over = False

    def start(self, plan: Plan, run: RunRecord, dbt: UsedDbt | None = None) -> None:
        """The graph is known."""
        self._heading = f"{run.pipeline} on {run.target}"
        self._progress = Progress(plan, run, self._progress)
        self._lines = Lines(self._progress, self._zone)
        self._estimate = Estimate(plan, self._progress)
        now = self._clock.now().astimezone(self._zone)
        text = begins(self._progress, run, dbt, zone_of(now))
        self._above.append(((f"{now:%H:%M:%S}  {'START':<{MARK}}  {plain(text)}", ""),))

    def changed(self, changes: Sequence[Changed]) -> None:
        """Count, and keep what is worth a line for the next redraw."""
        if self._lines is None or self._estimate is None:
            return
        self._above += [self._painted(x) for x in self._lines.tell(changes) if x.state in _TOLD]
        for change in changes:
            self._estimate.note(change.node_id, change.state)

    def note(self, text: str, *, level: str) -> None:
        """A line above the area."""
        self._above.append(((text, _LEVELS.get(level, "")),))

    def tick(self, now: datetime) -> None:
        """Redraw."""
        if self._over:
            return
        above, self._above = self._above, []
        columns, height = self._size()
        self._area.draw(self._frame(now, height - 2), above, columns)

    def warned(self, warning: DbtWarning) -> None:
        """A line, or several."""
        self.note(f"dbt: {warning}", level="warning")

    def finish(self, summary: Summary) -> None:
        """The summary takes the place of the area."""
        self.close()
        text = shown(summary_text(summary, self._colours), colours=self._colours.wanted)
        self._area.write(f"\n{text}\n")

    def close(self) -> None:
        """Take the area away; what scrolled above it stays."""
        if self._over:
            return
        self._over = True
        self._area.draw([], self._above, self._size()[0])

    def _frame(self, now: datetime, height: int) -> list[Painted]:
        if self._progress is None or self._estimate is None:
            return waiting("starting dbt", self._since, now)
        return frame(
            self._heading,
            self._progress,
            self._estimate,
            since=self._since,
            now=now,
            height=height,
        )

    def _painted(self, line: Line) -> Painted:
        time, mark, rest = line.text[:10], line.text[10:15], line.text[15:]
        return ((time, ""), (mark, OF_STATE.get(line.state or "", "")), (rest, ""))
