"""How states, counts and links are written on pages."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from dbtorch.core.model.state import State

#: A sign for each state of a node or run, so that no colour is needed to tell them apart.
SIGNS = {
    "success": "✓",
    "warn": "!",
    "failed": "✕",
    "upstream_failed": "⊘",
    "skipped": "»",
    "reused": "=",
    "cancelled": "■",
    "removed": "∅",
    "running": "▶",
    "queued": "…",
    "up_for_retry": "↻",
    "pending": "·",
    "gated": "◫",
    "interrupted": "⚡",
}

#: States in the order in which counts are written: what needs a look comes first.
_ORDER = [state.value for state in (
    State.FAILED, State.UPSTREAM_FAILED, State.CANCELLED, State.WARN, State.UP_FOR_RETRY,
    State.RUNNING, State.QUEUED, State.SKIPPED, State.REMOVED, State.SUCCESS, State.REUSED,
    State.PENDING,
)]  # fmt: skip


def said(state: str) -> str:
    """A state within a sentence."""
    return state.replace("_", " ")


def ordered(counts: Mapping[State, int]) -> list[tuple[str, int]]:
    """Counts by state, those that are not zero."""
    found = {state.value: count for state, count in counts.items() if count}
    return [(state, found[state]) for state in _ORDER if state in found]


def is_link(text: str) -> bool:
    """Whether a text that somebody wrote may be followed: an address of the web alone."""
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return found.scheme in ("http", "https") and bool(found.netloc)
