"""A project at a glance: its pipelines with their last runs, what failed and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dbtorch.core.errors import DbtorchError
from dbtorch.core.history.health import PIPELINE, Health, Item
from dbtorch.core.history.records import seconds_at_work
from dbtorch.ports.store import Store
from dbtorch.service.health.calendar import Calendar, calendars
from dbtorch.service.health.health import ProjectHealth, health
from dbtorch.service.history.runs import ListedRun, list_runs
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.service.schedule.upcoming import PipelineSchedule, next_runs

#: Runs of each pipeline, the newest.
_RUNS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineView:
    """A pipeline with its last runs, the newest last."""

    item: Item
    runs: tuple[ListedRun, ...]
    schedule: PipelineSchedule | None  # None where it has none
    partitioned: bool = False  # so that the past can be run again
    calendar: Calendar | None = None  # None where it has no partitions

    def seconds(self, run: ListedRun, now: datetime) -> float:
        """How long one of the runs took, or has taken so far."""
        return seconds_at_work(run.run, run.run.finished_at or now)

    def longest(self, now: datetime) -> float:
        """How long the longest of them took; never nothing."""
        return max((self.seconds(run, now) for run in self.runs), default=0.0) or 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A project at a moment."""

    health: ProjectHealth
    pipelines: tuple[PipelineView, ...]
    wrong: tuple[Item, ...]  # nodes and sources that are not well
    owners: Mapping[str, str]  # by the id of such a node
    undelivered: int  # messages in the outbox
    problem: str = ""  # why dbtorch.yml cannot be read, where it cannot


def overview(store: Store, options: RunOptions) -> Overview:
    """Look at everything, starting no dbt. Raises `ProjectError`, `ConfigError`, `StoreError`."""
    project = open_project(options.project_dir, options.environ)
    found = health(project, store, options)
    schedules, problem = _schedules(store, options, found.at)
    owners = {node.id: node.owner for node in found.nodes if node.owner}
    partitioned = {
        name for name, one in project.config.pipelines.items() if one.partition is not None
    }
    dated = calendars(store, project.config, found.standing.target, found.at)
    owners |= {id: end.owner for id, end in found.standing.ends.items() if end.owner}
    return Overview(
        health=found,
        pipelines=tuple(
            PipelineView(
                item=item,
                runs=list_runs(store, limit=_RUNS, pipeline=item.name)[::-1],
                schedule=schedules.get(item.name),
                partitioned=item.name in partitioned,
                calendar=dated.get(item.name),
            )
            for item in found.items
            if item.kind == PIPELINE
        ),
        wrong=tuple(
            item
            for item in found.items
            if item.kind != PIPELINE and item.health not in (Health.OK, Health.UNKNOWN)
        ),
        owners=owners,
        undelivered=len(store.outbox(pending=True)),
        problem=problem,
    )


def _schedules(
    store: Store, options: RunOptions, now: datetime
) -> tuple[dict[str, PipelineSchedule], str]:
    try:
        found = next_runs(
            options.project_dir,
            None,
            since=now,
            count=1,
            database_url=options.database_url,
            environ=options.environ,
            store=store,
        )
    except DbtorchError as error:
        return {}, str(error)
    return {one.pipeline: one for one in found}, ""
