"""How times, counts and states are written, the same wherever a person reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, tzinfo

from dbtorch.cli.render.colour import PLAIN, Colours
from dbtorch.core.state import State

#: What the end of a node is called on its line. Five letters at most, so that lines align.
MARKS = {
    State.SUCCESS: "OK",
    State.WARN: "WARN",
    State.FAILED: "FAIL",
    State.UPSTREAM_FAILED: "BLOCK",
    State.SKIPPED: "SKIP",
    State.REUSED: "REUSE",
    State.CANCELLED: "STOP",
    State.UP_FOR_RETRY: "RETRY",
    State.RUNNING: "RUN",
}

#: States in the order in which counts are told: what needs a look comes first.
TOLD = (
    State.FAILED,
    State.UPSTREAM_FAILED,
    State.CANCELLED,
    State.WARN,
    State.SKIPPED,
    State.SUCCESS,
    State.REUSED,
    State.UP_FOR_RETRY,
    State.RUNNING,
    State.QUEUED,
    State.PENDING,
)

#: "Database Error in model fct_orders (models/marts/fct_orders.sql)"
_DBT_HEADING = re.compile(r"[A-Z]\w+ Error(?: in .* \(.*\))?")

#: What must not reach a terminal from somebody's message.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

_LOGIN = re.compile(r"://[^@/\s]+@")


def took(seconds: float | None) -> str:
    """A duration as people say it: ``0.42s``, ``12.3s``, ``2m 05s``, ``1h 02m``."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    return calm(seconds)


def calm(seconds: float) -> str:
    """A duration in whole seconds, for what is redrawn all the time: ``7s``, ``2m 05s``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02}h"


def ago(moment: datetime, now: datetime) -> str:
    """How long something is past: ``5m ago``."""
    seconds = (now - moment).total_seconds()
    if seconds < 1:
        return "just now"
    return f"{calm(seconds).partition(' ')[0]} ago"


def local(moment: datetime, zone: tzinfo | None = None) -> str:
    """A moment in the reader's time zone."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def many(count: int, noun: str) -> str:
    """``1 node``, ``12 nodes``, ``1 retry``, ``2 retries``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("ry") else f"{count} {noun}s"


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


def blamed(reason: str) -> str:
    """A reason in words that do not need dbtorch's inner names."""
    return reason.replace("session.open", "the dbt session").strip()


def first_line(text: str, width: int = 200) -> str:
    """The first line that says something, cut to a width."""
    lines = (_CONTROL.sub("", found).strip() for found in text.splitlines())
    return cut(next(filter(None, lines), ""), width)


def gist(message: str, width: int = 200) -> str:
    """The line of a message that says most: dbt's first one often names the node only."""
    lines = [line for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and _DBT_HEADING.fullmatch(lines[0].strip()):
        lines = lines[1:]
    return first_line("\n".join(lines), width)


def cut(text: str, width: int) -> str:
    """A text in at most ``width`` characters; what is missing shows as dots."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def and_more(names: tuple[str, ...], count: int) -> str:
    """``a, b and 37 more`` for names that stand for ``count`` things."""
    rest = count - len(names)
    listed = ", ".join(names)
    return f"{listed} and {rest} more" if rest > 0 else listed


def without_login(text: str) -> str:
    """A text in which URLs carry no user and password."""
    return _LOGIN.sub("://***@", text)
