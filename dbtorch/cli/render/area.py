"""A few lines at the end of the terminal that are written over again and again."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from rich.console import Console
from rich.text import Text

from dbtorch.cli.render.output import Output

_UP = "\x1b[{}A"
_CLEAR_LINE = "\x1b[2K"
_CLEAR_BELOW = "\x1b[J"


class Area:
    """Draws lines over those it drew before, in one write, and only if they changed."""

    def __init__(self, console: Console, output: Output) -> None:
        self._console = console
        self._output = output
        self._drawn: list[Text] = []
        self._widths: list[int] = []  # of the lines on the screen

    def draw(self, lines: Sequence[Text], above: Sequence[Text] = ()) -> None:
        """Replace the area; ``above`` scrolls away before it, one line each."""
        if not above and list(lines) == self._drawn:
            return
        width = self._console.size.width
        back = self._back(width)
        fitting = [line.copy() for line in (*above, *lines)]
        with self._console.capture() as captured:
            for line in fitting:
                line.truncate(width, overflow="ellipsis")
                self._console.print(line, no_wrap=True, highlight=False, crop=False)
        rows = captured.get().split("\n")[:-1]
        text = "".join(f"{_CLEAR_LINE}{row}\n" for row in rows)
        self._drawn = list(lines)
        self._widths = [line.cell_len for line in fitting[len(above) :]]
        self._output.write(f"{back}{text}{_CLEAR_BELOW}")

    def write(self, text: str) -> None:
        """Write below the area."""
        self._drawn, self._widths = [], []
        self._output.write(text)

    def _back(self, width: int) -> str:
        """Move to where the area began; a terminal made narrower has wrapped its lines."""
        rows = sum(max(1, ceil(drawn / width)) for drawn in self._widths)
        return f"\r{_UP.format(rows)}" if rows else ""
