"""A line in parts that have colours, and how many columns of a terminal it takes."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from itertools import accumulate

from dbtorch.cli.text.colour import Colours
from dbtorch.core.failures.message import one_line

#: Texts, each with its colour (bold, or dim, or none).
Painted = tuple[tuple[str, str], ...]

#: Categories of characters that stand on the one before them, or are not seen.
_NO_COLUMN = ("Mn", "Me", "Cf")

_DOTS = "…"


def painted(line: Painted, colours: Colours) -> str:
    """The line for a terminal; nothing of its texts gives orders to it."""
    return "".join(colours(one_line(text), colour) for text, colour in line)


def columns(line: Painted) -> int:
    """How many columns the line takes."""
    return sum(_columns(one_line(text)) for text, _ in line)


def fitted(line: Painted, width: int) -> Painted:
    """The line in at most ``width`` columns, with dots for what does not fit."""
    if columns(line) <= width:
        return line
    kept, room = [], width - len(_DOTS)
    for text, colour in line:
        beginning = _beginning(one_line(text), room)
        room -= _columns(beginning)
        kept.append((beginning, colour))
    return (*kept, (_DOTS, ""))


def _beginning(text: str, room: int) -> str:
    return text[: bisect_right([*accumulate(map(_column, text))], room)]


def _columns(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_column, text))


def _column(char: str) -> int:
    if unicodedata.category(char) in _NO_COLUMN:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
