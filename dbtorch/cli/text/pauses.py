"""A pause as text."""

from __future__ import annotations

from datetime import tzinfo

from dbtorch.core.schedule.ledger import Pause
from dbtorch.core.text.moments import shown
from dbtorch.service.schedule.pauses import Paused


def paused_text(done: Paused) -> str:
    """What was done, and what was before."""
    if done.pause is None:
        before = f" (it was paused {paused_by(done.before)})" if done.before else ""
        return f"pipeline {done.pipeline} runs again{before}"
    before = f"; before, it was paused {paused_by(done.before)}" if done.before else ""
    return f"pipeline {done.pipeline} is paused {paused_by(done.pause)}{before}"


def paused_by(pause: Pause, zone: tzinfo | None = None) -> str:
    """By whom, since when and why; in ``zone`` where that is not this machine's."""
    why = f": {pause.reason}" if pause.reason else ""
    return f"by {pause.by} since {shown(pause.at, zone)}{why}"
