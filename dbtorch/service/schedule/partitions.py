"""How the partitions of a pipeline, a part of it, a model or a step stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.config.meta import settings_of
from dbtorch.adapters.partitions import Partitions
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.errors import NotFound, UsageError
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.schedule.coverage import Asked, Entry, PartitionStatus, statuses
from dbtorch.core.schedule.partition import Grain, Partition, PartitionSpec
from dbtorch.core.schedule.written import pipeline_id
from dbtorch.core.text.nearest import did_you_mean
from dbtorch.service.history.store import history_of
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.planning.preview import open_plan
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.tell import Tell, nobody

if TYPE_CHECKING:
    from dbtorch.ports.store import Store

#: Kinds of nodes of which partitions are kept.
KEPT = (Kind.MODEL, Kind.SNAPSHOT, Kind.STEP)

#: Partitions that are shown by default, the newest.
SHOWN = {Grain.HOUR: 24 * 14, Grain.DAY: 184, Grain.WEEK: 106, Grain.MONTH: 60}

#: Seconds of a batch of a microbatch model, at most, and its grain.
_BATCHES = ((3600, Grain.HOUR), (86_400 + 3600, Grain.DAY), (32 * 86_400, Grain.MONTH))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionTable:
    """How partitions stand, the oldest first."""

    of: str  # what they are of: "pipeline daily"
    by: Grain
    timezone: str
    target: str
    place: str  # where that builds
    found: tuple[PartitionStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What partitions are asked about, with the project's code as it is now."""

    project: Project
    pipeline: PipelineSpec
    opened: OpenedPlan
    store: Store
    now: datetime  # by the clock of the history

    @property
    def target(self) -> str:
        """The target that is built on."""
        return str(self.opened.selected.target["name"])

    @property
    def place(self) -> str:
        """What that target is here."""
        return self.store.identity.place(self.target)

    def statuses(
        self,
        partitions: Sequence[Partition],
        nodes: Mapping[str, str],
        *,
        lookback: int = 0,
        whole: bool = False,
    ) -> tuple[PartitionStatus, ...]:
        """How partitions stand of nodes, given with their code's checksums.

        ``whole`` says whether runs of the whole pipeline must have succeeded.
        """
        run = pipeline_id(self.pipeline.name) if whole else ""
        asked = Asked(
            checksums=nodes, drives=self.store.ledger().drives, lookback=lookback, run=run
        )
        entries = self.entries([*nodes, *([run] if run else [])], partitions)
        return tuple(statuses(partitions, entries, asked))

    def entries(self, nodes: Sequence[str], partitions: Sequence[Partition]) -> list[Entry]:
        """What the history has of nodes."""
        if not partitions:
            return []
        since, until = partitions[0].start, partitions[-1].end
        return self.store.entries(self.place, nodes, since=since, until=until)


@contextmanager
def subject(options: RunOptions, *, warn: Tell = nobody) -> Iterator[Subject]:
    """A pipeline, or the part of it that is selected, as dbt reads it now.

    Raises `DbtorchError`.
    """
    project = open_project(options.project_dir, options.environ)
    pipeline = pipeline_of(project.config, options)
    with open_plan(options, warn=warn) as opened:
        store = history_of(project, options, options.dbt_args_for(project.config), create=True)
        try:
            now = min(store.ledger().now, SystemClock().now())
            yield Subject(project=project, pipeline=pipeline, opened=opened, store=store, now=now)
        finally:
            store.close()


def kept_nodes(graph: Graph) -> dict[str, str]:
    """Checksums of the nodes of which partitions are kept, by id."""
    return {
        id: node.checksum
        for id, node in graph.nodes.items()
        if node.kind in KEPT and node.materialized != "ephemeral"
    }


def partition_table(
    options: RunOptions,
    name: str,
    *,
    first: str | None = None,
    last: str | None = None,
    warn: Tell = nobody,
) -> PartitionTable:
    """How the partitions of a pipeline, or of a model, snapshot or step of one, stand.

    Between two of them, or the newest. Raises `NotFound`, `UsageError` and as `open_plan` does.
    """
    config = open_project(options.project_dir, options.environ).config
    is_pipeline = name in config.pipelines
    named = name if is_pipeline else options.pipeline or _only(config)
    with subject(replace(options, pipeline=named), warn=warn) as found:
        nodes, spec, of = kept_nodes(found.opened.planned.plan.graph), found.pipeline.partition, ""
        if is_pipeline:
            of = f"pipeline {name}"
        else:
            node = _node(found.opened.planned.plan.graph, name)
            nodes, of = {node.id: node.checksum}, f"{node.kind} {node.name}"
            spec = _own(found, node) or spec
        if spec is None:
            raise UsageError(
                f"{of} has no partitions: give it `partition: {{by: day, start: 2026-01-01}}`,"
                " or its pipeline"
            )
        wanted = between(Partitions(spec, of), found.now, first, last, most=SHOWN[spec.by])
        lookback = spec.lookback
        return PartitionTable(
            of=of,
            by=spec.by,
            timezone=spec.timezone,
            target=found.target,
            place=found.place,
            found=found.statuses(wanted, nodes, lookback=lookback, whole=is_pipeline),
        )


def between(
    partitions: Partitions,
    now: datetime,
    first: str | None,
    last: str | None,
    *,
    most: int | None = None,
) -> list[Partition]:
    """Those that are over from one to another one, both included. Raises `UsageError`."""
    if first is None and last is None:
        return partitions.known(now, most=most)
    newest = partitions.last(now)
    start = partitions.around(first) if first is not None else partitions.first
    end = partitions.around(last) if last is not None else newest
    if start.start > newest.start:
        raise UsageError(
            f"partition {start.key} is not over yet; the last one that is, is {newest.key}"
        )
    if end.start < start.start:
        raise UsageError(f"--to {last} comes before --from {first}; swap them")
    return partitions.between(start, min(end, newest, key=lambda one: one.start))


def _only(config: Config) -> str | None:
    """The pipeline of a model: the one that has partitions, where there is no other."""
    some = [name for name, pipeline in config.pipelines.items() if pipeline.partition is not None]
    if len(some) > 1:
        raise UsageError(
            f"pipelines {', '.join(some)} have partitions: say with --pipeline which one is meant"
        )
    return some[0] if some else None


def _node(graph: Graph, name: str) -> Node:
    kept = [node for node in graph.nodes.values() if node.kind in KEPT]
    mine = [one for one in kept if name in (one.name, one.id, f"{one.kind}:{one.name}")]
    if len(mine) == 1:
        return mine[0]
    if mine:
        raise NotFound(f"{name} is {', '.join(one.id for one in mine)}; name one by its id")
    near = did_you_mean(name, [one.name for one in kept], most=3, quote="")
    raise NotFound(f"there is no pipeline, and no model, snapshot or step {name!r} of it{near}")


def _own(found: Subject, node: Node) -> PartitionSpec | None:
    """The partitions that a node has itself: those that its YAML says, or its batches."""
    settings = settings_of(
        node.meta, node=node.id, file=node.patch_path or node.path, project_dir=found.project.dir
    )
    if settings.partition is not None or not node.splits:
        return settings.partition
    beginning = datetime(1, 1, 1, tzinfo=UTC)
    entries = found.store.entries(
        found.place, [node.id], since=beginning, until=found.now + timedelta(days=366)
    )
    known = [(one.interval.start, one.interval.end) for one in entries if one.interval.start]
    if not known:
        return None
    start, end = min(known)
    seconds = (end - start).total_seconds()
    grain = next((grain for most, grain in _BATCHES if seconds <= most), None)
    return PartitionSpec(by=grain, start=start) if grain is not None else None
