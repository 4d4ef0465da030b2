"""Text tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dbtorch.core.failures.message import one_line

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

    A cell longer than ``widest`` is whole, and what comes after it stands on a line of its own, in
    its column.
    """
    rows = [[one_line(text) for text in row] for row in rows]
    lines = [head, *rows]
    widths = [min(widest, max(len(line[i]) for line in lines)) for i in range(len(head))]
    last = len(head) - 1

    def written(row: int, line: Sequence[str]) -> str:
        text, place = "", 0  # columns of a line are where they are in all others
        for i, cell in enumerate(line):
            aligned = cell.rjust(widths[i]) if i in right else cell
            aligned = aligned.ljust(widths[i]) if i < last else aligned
            text += aligned if row < 0 else paint(row, i, aligned)
            place += widths[i] + 2
            rest = any(line[i + 1 :])
            text += "\n" + " " * place if len(cell) > widths[i] and rest else "  "
        return text.rstrip()

    return [written(-1, head), *(written(row, line) for row, line in enumerate(rows))]
