"""Durations, counts and names within a sentence, the same wherever a person reads them."""

from __future__ import annotations

import math
import re
from datetime import datetime

from dbtorch.core.model.reason import Reason
from dbtorch.core.plan import SESSION_OPEN

_LOGIN = re.compile(r"://[^@/\s]+@")


def took(seconds: float | None) -> str:
    """A duration as people say it: ``0.42s``, ``12.3s``, ``2m 05s``, ``1h 02m``."""
    if seconds is None or not math.isfinite(seconds):
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


def many(count: int, noun: str) -> str:
    """``1 node``, ``12 nodes``, ``1 retry``, ``2 retries``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("ry") else f"{count} {noun}s"


def blamed(reason: Reason) -> str:
    """A reason in words that do not need dbtorch's inner names."""
    return reason.sentence({SESSION_OPEN: "the dbt session"}).strip()


def and_more(names: tuple[str, ...], count: int) -> str:
    """``a, b and 37 more`` for names that stand for ``count`` things."""
    rest = count - len(names)
    listed = ", ".join(names)
    return f"{listed} and {rest} more" if rest > 0 else listed


def without_login(text: str) -> str:
    """A text in which URLs carry no user and password."""
    return _LOGIN.sub("://***@", text)
