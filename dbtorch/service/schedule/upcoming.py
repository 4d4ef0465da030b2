"""When pipelines are to run next, and what became of the times that are over."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dbtorch.adapters.cron import NoTick, Ticks
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.errors import NoHistory, UsageError
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.jitter import delay
from dbtorch.core.schedule.ledger import Pause, TickRecord
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.ports.store import Store
from dbtorch.service.history.store import history_of
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.schedule.timetable import key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRun:
    """A run that is to come."""

    run_at: datetime  # in UTC, jitter included
    interval: Interval  # that it stands for


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSchedule:
    """The next runs of a pipeline; none where its schedule has ended."""

    pipeline: str
    timezone: str  # name of the zone that its schedule speaks of
    paused: bool  # as dbtorch.yml says it
    pause: Pause | None = None  # by `dbtorch pause`
    next: tuple[NextRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTick:
    """What became of a time of a pipeline's schedule."""

    pipeline: str
    timezone: str  # name of the zone that its schedule speaks of; UTC where it has none any more
    tick: TickRecord
    outcome: RunState | None = None  # of its run; None where there is none in the history


def next_runs(
    project_dir: str | None,
    pipeline: str | None,
    *,
    since: datetime,
    count: int,
    database_url: str | None = None,
    environ: Mapping[str, str] = os.environ,
    store: Store | None = None,
) -> list[PipelineSchedule]:
    """The first ``count`` runs after a moment, of each pipeline with a schedule or of one.

    Who has paused them is in the history, where there is one, or in ``store``. Starts no dbt.
    Raises `ConfigError`, `NotFound`, `ProjectError`, `StoreError`.
    """
    project = open_project(project_dir, environ)
    found = scheduled(project.config, pipeline)
    options = RunOptions(database_url=database_url, environ=dict(environ))
    pipelines = [one for one, _ in found]
    pauses = _pauses(project, options, pipelines) if store is None else _paused_in(store, pipelines)
    return [
        PipelineSchedule(
            pipeline=one.name,
            timezone=schedule.timezone,
            paused=schedule.paused,
            pause=pauses.get(one.name),
            next=tuple(_next(one, schedule, since, count)),
        )
        for one, schedule in found
    ]


def scheduled(config: Config, pipeline: str | None) -> list[tuple[PipelineSpec, Schedule]]:
    """Pipelines that have a schedule. Raises `NotFound` for one that is not there."""
    named = [pipeline_of(config, RunOptions(pipeline=pipeline))] if pipeline else None
    pipelines: Sequence[PipelineSpec] = named or tuple(config.pipelines.values())
    return [(one, one.schedule) for one in pipelines if one.schedule is not None]


def schedule_of(project_dir: Path, pipeline: str) -> Schedule:
    """The schedule of a pipeline. Raises `ConfigError`, `NotFound`, `UsageError` where none is."""
    found = scheduled(open_project(str(project_dir)).config, pipeline)
    if not found:
        raise UsageError(f"pipeline {pipeline} has no schedule; give it `schedule:` in dbtorch.yml")
    return found[0][1]


def past_ticks(store: Store, config: Config, pipeline: str | None, *, count: int) -> list[PastTick]:
    """Times of schedules that `dbtorch serve` has decided, the newest first. Raises `NotFound`."""
    if pipeline is not None:
        pipeline_of(config, RunOptions(pipeline=pipeline))
    zones = {one.name: schedule.timezone for one, schedule in scheduled(config, None)}
    ticks = store.ticks(pipeline, limit=count)
    outcomes = store.outcomes(since=ticks[-1][1].scheduled_for) if ticks else {}
    return [
        PastTick(
            pipeline=key.pipeline,
            timezone=zones.get(key.pipeline, "UTC"),
            tick=tick,
            outcome=outcomes.get(tick.run_id),
        )
        for key, tick in ticks
    ]


def _pauses(
    project: Project, options: RunOptions, pipelines: Sequence[PipelineSpec]
) -> dict[str, Pause]:
    """Who has paused which of the pipelines; nobody has where there is no history yet."""
    try:
        opened = history_of(project, options)
    except NoHistory:
        return {}
    with closing(opened) as store:
        return _paused_in(store, pipelines)


def _paused_in(store: Store, pipelines: Sequence[PipelineSpec]) -> dict[str, Pause]:
    known = store.ledger().schedules
    found = {one.name: known.get(key_of(one, store.identity)) for one in pipelines}
    return {name: one.pause for name, one in found.items() if one is not None and one.pause}


def _next(pipeline: PipelineSpec, schedule: Schedule, since: datetime, count: int) -> list[NextRun]:
    ticks, at, found = Ticks(schedule), since, list[NextRun]()
    try:
        while len(found) < count:
            at = ticks.after(at)
            late = delay(pipeline.name, at, schedule.jitter)
            found.append(NextRun(run_at=at + late, interval=ticks.interval(at)))
    except NoTick:  # it ends
        pass
    return found
