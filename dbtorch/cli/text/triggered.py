"""What came of a trigger, as text and JSON."""

from __future__ import annotations

from dbtorch.cli.text.terminal import document
from dbtorch.service.schedule.trigger import Triggered


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
