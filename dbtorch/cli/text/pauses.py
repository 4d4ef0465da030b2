"""A pause as text."""

from __future__ import annotations

from dbtorch.core.schedule.ledger import Pause
from dbtorch.core.text.moments import shown
from dbtorch.service.schedule.pauses import Paused


def paused_text(done: Paused) -> str:
    """What was done, and what was before."""
    if done.pause is None:
        before = f" (it was paused {_by(done.before)})" if done.before else ""
        return f"pipeline {done.pipeline} runs again{before}"
    before = f"; before, it was paused {_by(done.before)}" if done.before else ""
    return f"pipeline {done.pipeline} is paused {_by(done.pause)}{before}"


def _by(pause: Pause) -> str:
    why = f": {pause.reason}" if pause.reason else ""
    return f"by {pause.by} since {shown(pause.at)}{why}"
