"""Text tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Paints a cell that has its width already; told the row and the column, both from 0.
Paint = Callable[[int, int, str], str]


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    widest: int = 60,
    paint: Paint = lambda _row, _column, text: text,
) -> list[str]:
    """Lines of a table; columns in ``right`` are aligned to the right.

    Cells longer than ``widest`` stick out, so that one long name does not push all else away.
    """
    lines = [head, *rows]
    widths = [min(widest, max(len(line[i]) for line in lines)) for i in range(len(head))]
    last = len(head) - 1

    def written(row: int, line: Sequence[str]) -> str:
        cells = []
        for i, text in enumerate(line):
            if i in right:
                text = text.rjust(widths[i])
            elif i < last:
                text = text.ljust(widths[i])
            cells.append(text if row < 0 else paint(row, i, text))
        return "  ".join(cells).rstrip()

    return [written(-1, head), *(written(row, line) for row, line in enumerate(rows))]
