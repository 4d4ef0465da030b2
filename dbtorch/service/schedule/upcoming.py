"""When pipelines are to run next, and what became of the times that are over."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dbtorch.adapters.cron import NoTick, Ticks
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.jitter import delay
from dbtorch.core.schedule.ledger import ScheduleKey, TickRecord
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.ports import Store
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import open_project


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
    next: tuple[NextRun, ...]


def next_runs(
    project_dir: str | None,
    pipeline: str | None,
    *,
    since: datetime,
    count: int,
    environ: Mapping[str, str] = os.environ,
) -> list[PipelineSchedule]:
    """The first ``count`` runs after a moment, of each pipeline with a schedule or of one.

    Starts no dbt and reads no history. Raises `ConfigError`, `NotFound`, `ProjectError`.
    """
    config = open_project(project_dir, environ).config
    return [_schedule(one, schedule, since, count) for one, schedule in scheduled(config, pipeline)]


def scheduled(config: Config, pipeline: str | None) -> list[tuple[PipelineSpec, Schedule]]:
    """Pipelines that have a schedule. Raises `NotFound` for one that is not there."""
    named = [pipeline_of(config, RunOptions(pipeline=pipeline))] if pipeline else None
    pipelines: Sequence[PipelineSpec] = named or tuple(config.pipelines.values())
    return [(one, one.schedule) for one in pipelines if one.schedule is not None]


def past_ticks(
    store: Store, config: Config, pipeline: str | None, *, count: int
) -> list[tuple[ScheduleKey, TickRecord]]:
    """Times of schedules that `dbtorch serve` has decided, the newest first. Raises `NotFound`."""
    if pipeline is not None:
        pipeline_of(config, RunOptions(pipeline=pipeline))
    return store.ticks(pipeline, limit=count)


def _schedule(
    pipeline: PipelineSpec, schedule: Schedule, since: datetime, count: int
) -> PipelineSchedule:
    return PipelineSchedule(
        pipeline=pipeline.name,
        timezone=schedule.timezone,
        paused=schedule.paused,
        next=tuple(_next(pipeline, schedule, since, count)),
    )


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
