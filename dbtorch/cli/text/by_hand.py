"""What was done to a schedule by hand, as text and JSON: a pause, a trigger."""

from __future__ import annotations

from datetime import tzinfo

from dbtorch.cli.text.terminal import document
from dbtorch.core.schedule.ledger import Pause
from dbtorch.core.text.moments import shown
from dbtorch.service.schedule.pauses import Paused
from dbtorch.service.schedule.trigger import Triggered


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


def triggered_json(found: Triggered) -> str:
    """For programs."""
    return document(
        pipeline=found.pipeline,
        params=dict(found.params),
        triggered=found.before is None,
        run_id=(found.before.run_id or None) if found.before is not None else None,
        served=found.served,
        paused=found.pause is not None,
    )


def triggered_text(found: Triggered) -> str:
    """One or two sentences."""
    if found.before is not None:
        run = f": run {found.before.run_id}" if found.before.run_id else ""
        return f"pipeline {found.pipeline} was triggered with this key before{run}; nothing is new"
    said = f"pipeline {found.pipeline} is triggered"
    if found.pause is not None:
        return f"{said}, and waits: it is paused until `dbtorch resume {found.pipeline}`"
    if not found.served:
        return (
            f"{said}, and waits: no `dbtorch serve` is at work on this history; it runs when one"
            " is, or run it now with `dbtorch run`"
        )
    return said
