"""A project at a glance: its pipelines with their last runs, what failed and whose it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dbtorch.core.errors import DbtorchError
from dbtorch.core.history.health import PIPELINE, Health, Item
from dbtorch.core.history.records import Verb, seconds_at_work
from dbtorch.core.model.state import RunState
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
    late: str = ""  # what its last run was told of its deadline

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
    ages: tuple[
        Item, ...
    ]  # of sources and tables whose age is known, those nearest their limit first
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
    last_runs = {
        item.name: list_runs(store, limit=_RUNS, pipeline=item.name, counts=False)[::-1]
        for item in found.items
        if item.kind == PIPELINE
    }
    return Overview(
        health=found,
        pipelines=tuple(
            PipelineView(
                item=item,
                runs=last_runs[item.name],
                schedule=schedules.get(item.name),
                partitioned=item.name in partitioned,
                calendar=dated.get(item.name),
                late=_late(store, last_runs[item.name]),
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
        ages=tuple(sorted(filter(_is_aged, found.items), key=_nearness)),
        undelivered=len(store.outbox(pending=True)),
        problem=problem,
    )


def _is_aged(item: Item) -> bool:
    return item.kind != PIPELINE and item.age is not None


def _nearness(item: Item) -> tuple[bool, float]:
    """First what is nearest to its limit, then what has none, the oldest first."""
    age = item.age or 0.0
    return (item.limit is None, -age / item.limit if item.limit else -age)


def _late(store: Store, runs: Sequence[ListedRun]) -> str:
    """Whether the last run has missed its deadline, or will by what is usual, as it was told."""
    if not runs:
        return ""
    told = {one.action for one in store.actions(runs[-1].run.run_id) if not one.node_id}
    if Verb.DEADLINE in told:
        return "deadline missed"
    goes_on = runs[-1].state == RunState.RUNNING
    return "deadline at risk" if goes_on and Verb.AT_RISK in told else ""


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
