"""Pausing a pipeline: no run of it starts by itself until somebody resumes it."""

from __future__ import annotations

from dataclasses import dataclass

from dbtorch.adapters.actor import actor
from dbtorch.adapters.clock import SystemClock
from dbtorch.core.config import Config
from dbtorch.core.errors import NothingToDo, UsageError
from dbtorch.core.schedule.ledger import Pause
from dbtorch.ports.store import Store
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.schedule.timetable import key_of


@dataclass(frozen=True, slots=True)
class Paused:
    """What was done: the pipeline, and who had paused it before, if anybody had."""

    pipeline: str
    pause: Pause | None  # as it is now; None: it runs
    before: Pause | None


def pause(store: Store, config: Config, pipeline: str, *, reason: str = "") -> Paused:
    """Let no run of a pipeline start by itself; what runs goes on, what waits waits longer.

    Raises `NotFound`, and `UsageError` for a pipeline without a schedule.
    """
    spec = pipeline_of(config, RunOptions(pipeline=pipeline))
    if spec.schedule is None and spec.on is None:
        raise UsageError(
            f"pipeline {spec.name} has no schedule and no `on`, so there is nothing to pause"
        )
    now = Pause(at=SystemClock().now(), by=actor(), reason=reason)
    before = store.pause(key_of(spec, store.identity), now)
    return Paused(spec.name, now, before)


def resume(store: Store, config: Config, pipeline: str) -> Paused:
    """Let a pipeline run again from its next tick on.

    Raises `NotFound`, and `NothingToDo` for one that nobody has paused.
    """
    spec = pipeline_of(config, RunOptions(pipeline=pipeline))
    key = key_of(spec, store.identity)
    known = store.ledger().schedules.get(key)
    if known is None or known.pause is None:
        said = spec.schedule is not None and getattr(spec.schedule, "paused", False)
        hint = f"; {spec.origin} says `paused: true`" if said else ""
        raise NothingToDo(f"pipeline {spec.name} is not paused by anybody{hint}")
    return Paused(spec.name, None, store.pause(key, None))
