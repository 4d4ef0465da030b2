"""How times, counts and states are written, the same wherever a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo

from dbtorch.cli.text.colour import PLAIN, Colours
from dbtorch.core.model.state import State
from dbtorch.core.text.moments import shown

#: What the end of a node is called on its line; the longest makes the column.
MARKS = {
    State.SUCCESS: "OK",
    State.WARN: "WARN",
    State.FAILED: "FAIL",
    State.UPSTREAM_FAILED: "UPSTREAM",
    State.SKIPPED: "SKIP",
    State.REUSED: "REUSE",
    State.CANCELLED: "STOP",
    State.REMOVED: "GONE",
    State.UP_FOR_RETRY: "RETRY",
    State.RUNNING: "RUN",
}

#: Columns for a mark.
MARK = max(map(len, MARKS.values()))

#: States in the order in which counts are told: what needs a look comes first.
TOLD = (
    State.FAILED,
    State.UPSTREAM_FAILED,
    State.CANCELLED,
    State.WARN,
    State.SKIPPED,
    State.REMOVED,
    State.SUCCESS,
    State.REUSED,
    State.UP_FOR_RETRY,
    State.RUNNING,
    State.QUEUED,
    State.PENDING,
)


def local(moment: datetime, zone: tzinfo | None = None) -> str:
    """A moment in the reader's time zone, which is named."""
    return shown(moment, zone)


def said(state: State) -> str:
    """A state within a sentence."""
    return state.value.replace("_", " ")


def counted(counts: Mapping[State, int], colours: Colours = PLAIN) -> str:
    """``1 failed, 43 upstream failed, 12 success``."""
    told = [
        colours.state(f"{counts[state]} {said(state)}", state)
        for state in TOLD
        if counts.get(state)
    ]
    return ", ".join(told) or "no nodes"


def in_the_middle(text: str, width: int) -> str:
    """A name in at most ``width`` characters: dots for its middle, as both ends tell it apart."""
    if len(text) <= width:
        return text
    end = (width - 3) // 3
    return f"{text[: width - 3 - end]}...{text[len(text) - end :]}"
