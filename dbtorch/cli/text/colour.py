"""Colours for people: plain ANSI codes, only where they are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from dbtorch.core.model.state import RunState, State

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}

#: State -> colour; the same in the live view and in tables.
OF_STATE: Mapping[str, str] = {
    State.SUCCESS: "green",
    State.REUSED: "green",
    State.WARN: "yellow",
    State.SKIPPED: "yellow",
    State.REMOVED: "yellow",
    State.UP_FOR_RETRY: "yellow",
    State.FAILED: "red",
    State.UPSTREAM_FAILED: "red",
    State.CANCELLED: "red",
    State.RUNNING: "cyan",
    RunState.GATED: "yellow",
    "interrupted": "red",
}


class Colours:
    """Paints text, or leaves it alone."""

    def __init__(self, *, wanted: bool) -> None:
        self.wanted = wanted

    def __call__(self, text: str, colour: str) -> str:
        """The text in a colour (or bold, or dim)."""
        code = _CODES.get(colour)
        return f"\x1b[{code}m{text}\x1b[0m" if self.wanted and code and text else text

    def state(self, text: str, state: str) -> str:
        """The text in the colour of a state."""
        return self(text, OF_STATE.get(state, ""))


#: For text that goes to a file or a pipe.
PLAIN = Colours(wanted=False)


def colours_for(stream: TextIO, environ: Mapping[str, str]) -> Colours:
    """Colours on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    wanted = is_terminal(stream, environ) and not environ.get("NO_COLOR")
    return Colours(wanted=wanted)


def is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream is a terminal that understands more than text."""
    try:
        return stream.isatty() and environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False
