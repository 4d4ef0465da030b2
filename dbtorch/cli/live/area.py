"""A few lines at the end of the terminal that are written over again and again."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from dbtorch.cli.live.output import Output
from dbtorch.cli.live.painted import Painted, columns, fitted, painted
from dbtorch.cli.text.colour import Colours

_UP = "\x1b[{}A"
_CLEAR_BELOW = "\x1b[J"


class Area:
    """Draws lines over those it drew before, in one write, and only if they changed."""

    def __init__(self, output: Output, colours: Colours) -> None:
        self._output = output
        self._colours = colours
        self._drawn: list[Painted] = []
        self._widths: list[int] = []  # of the lines on the screen

    def draw(self, lines: Sequence[Painted], above: Sequence[Painted], width: int) -> None:
        """Replace the area of a terminal with ``width`` columns by lines that are cut to fit.

        Those ``above`` it scroll away and stay, so they are whole: the terminal breaks them.
        """
        if not above and list(lines) == self._drawn:
            return
        back = self._back(width)
        fitting = [fitted(line, width) for line in lines]
        text = "".join(f"{painted(line, self._colours)}\n" for line in (*above, *fitting))
        self._drawn = list(lines)
        self._widths = [columns(line) for line in fitting]
        self._output.write(f"{back}{_CLEAR_BELOW}{text}")

    def write(self, text: str) -> None:
        """Write below the area."""
        self._drawn, self._widths = [], []
        self._output.write(text)

    def _back(self, width: int) -> str:
        """Move to where the area began; a terminal made narrower has wrapped its lines."""
        rows = sum(max(1, ceil(drawn / width)) for drawn in self._widths)
        return f"\r{_UP.format(rows)}" if rows else ""
