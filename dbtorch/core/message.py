"""Messages of failures, made readable."""

from __future__ import annotations

import re

#: Lines of a message that are shown, and characters of a line; all of it is in the attempt's log.
LINES = 12
WIDTH = 240

#: Colours, and whatever else would give orders to a terminal.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f]")


def tidy(message: str) -> tuple[str, int]:
    """A message as a person reads it, and how many of its lines were left out."""
    lines = [line.rstrip() for line in _CONTROL.sub("", message).expandtabs(4).splitlines()]
    lines = [line for line in lines if line]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    kept = [_cut(line[indent:]) for line in lines[:LINES]]
    return "\n".join(kept), len(lines) - len(kept)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."
