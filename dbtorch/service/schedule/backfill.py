"""Running the past again: which partitions, in which order, and how long that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import uuid4

from dbtorch.adapters.actor import actor
from dbtorch.adapters.partitions import Partitions
from dbtorch.core.errors import NothingToDo, UsageError
from dbtorch.core.history.records import seconds_at_work
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.measure import median
from dbtorch.core.model.state import RunState
from dbtorch.core.params import settled
from dbtorch.core.run.simulation import forecast
from dbtorch.core.schedule.backfill import (
    MOST_RUNS,
    Backfill,
    BackfillSpec,
    BackfillState,
    Part,
    PartState,
    merged,
)
from dbtorch.core.schedule.coverage import PartitionStatus, Status
from dbtorch.core.schedule.ledger import ScheduleKey
from dbtorch.ports.store import Store
from dbtorch.service.project.known_secrets import refuse_secrets, scrubber_of_environment
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import open_project
from dbtorch.service.schedule.partitions import Subject, between, kept_nodes, subject
from dbtorch.service.tell import Tell, nobody

#: What `--reprocess` runs besides what is missing.
REPROCESS = {
    "none": (Status.MISSING,),
    "failed": (Status.MISSING, Status.FAILED),
    "completed": (Status.MISSING, Status.FAILED, Status.LATE, Status.STALE, Status.DONE),
}

#: Runs by which it is told how long one takes.
_LOOKED_AT = 20

#: Databases that one process writes at a time.
_OF_ONE = ("duckdb", "sqlite")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRequest:
    """What the command line asks for."""

    first: str | None = None  # key of a partition, or a day in it
    last: str | None = None  # included
    reprocess: str = "none"
    only: frozenset[Status] = frozenset()  # choose these by the ledger, and no others
    late: bool = False  # and those that wait for late data
    max_active: int = 1
    merge: int = 1  # partitions of one run at most
    reverse: bool = False
    words: tuple[str, ...] = ()  # for `dbtorch run`: selections, parameters
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPlan:
    """What a backfill would run."""

    key: ScheduleKey
    target: str
    request: BackfillRequest
    parts: tuple[Part, ...]  # in their order
    partitions: int  # that they are of
    chosen: tuple[PartitionStatus, ...]  # the oldest first
    left: int  # partitions in between that are not run again
    touches: tuple[str, ...]  # names of models, seeds, snapshots and steps
    seconds_each: float | None = None  # of one run, by history
    notes: tuple[str, ...] = field(default=())

    @property
    def seconds(self) -> float | None:
        """How long it takes, if nothing else runs."""
        if self.seconds_each is None:
            return None
        at_once = min(self.request.max_active, MOST_RUNS)
        return self.seconds_each * -(-len(self.parts) // at_once)


def plan_backfill(
    options: RunOptions, request: BackfillRequest, *, warn: Tell = nobody
) -> BackfillPlan:
    """What a backfill of a pipeline would run. Raises `NothingToDo`, `UsageError` and as a plan.

    ``options`` have the pipeline, the selection, and the parameters of each run.
    """
    if (request.only or request.late) and request.reprocess != "none":
        raise UsageError(
            f"--reprocess {request.reprocess} and --missing, --failed, --stale-code or --late both"
            " say which partitions run; give one of them"
        )
    pipeline = pipeline_of(open_project(options.project_dir, options.environ).config, options)
    params = settled(pipeline.name, pipeline.params, options.params)
    refuse_secrets(params, scrubber_of_environment(options.environ))
    with subject(options, warn=warn) as found:
        return _planned(found, options, request)


def begin_backfill(store: Store, plan: BackfillPlan) -> Backfill:
    """Keep a backfill, to be run. Raises `UsageError` while the pipeline has another one."""
    spec = BackfillSpec(
        words=plan.request.words,
        max_active=plan.request.max_active,
        partitions=plan.partitions,
    )
    backfill = Backfill(
        id=f"b-{uuid4().hex[:8]}",
        key=plan.key,
        spec=spec,
        created_at=store.ledger().now,
        created_by=actor(),
        reason=plan.request.reason,
        parts=plan.parts,
        counts={PartState.WAITING: len(plan.parts)},
    )
    there = store.add_backfill(backfill)
    if there is not None:
        stands = "is paused" if there.state is BackfillState.PAUSED else "goes on"
        raise UsageError(
            f"backfill {there.id} of pipeline {there.key.pipeline} {stands}: a pipeline has one at"
            f" a time; let it end, or end it with `dbtorch backfills cancel {there.id}`"
        )
    return backfill


def _planned(found: Subject, options: RunOptions, request: BackfillRequest) -> BackfillPlan:
    pipeline, graph = found.pipeline, found.opened.planned.plan.graph
    if pipeline.partition is None:
        raise UsageError(
            f"pipeline {pipeline.name} has no partitions to fill: give it"
            f" `partition: {{by: day, start: 2026-01-01}}` in {pipeline.origin.file}"
        )
    if not graph.nodes:
        raise UsageError(f"--select and --exclude leave nothing of pipeline {pipeline.name} to run")
    partitions = Partitions(pipeline.partition, f"pipeline {pipeline.name}")
    wanted = between(partitions, found.now, request.first, request.last)
    statuses = found.statuses(
        wanted,
        kept_nodes(graph),
        lookback=pipeline.partition.lookback,
        whole=not options.narrowed,
    )
    chosen = tuple(one for one in statuses if _is_chosen(one, request))
    if not chosen:
        raise NothingToDo(_nothing(statuses, request, pipeline.name))
    notes = []
    if request.max_active > 1 and _is_file(found):
        request = replace(request, max_active=1)
        notes.append("one run at a time: one process writes a database file")
    parts = [
        Part(ordinal=number, key=one.partition.key, interval=one.partition.interval)
        for number, one in enumerate(chosen)
    ]
    if request.merge > 1:
        _refuse_to_merge(found)
        parts = list(merged(parts, request.merge))
    ordered = parts[::-1] if request.reverse else parts
    target = found.target
    return BackfillPlan(
        key=ScheduleKey(pipeline.name, found.place),
        target=target,
        request=request,
        parts=tuple(replace(part, ordinal=number) for number, part in enumerate(ordered)),
        partitions=len(chosen),
        chosen=chosen,
        left=len(statuses) - len(chosen),
        touches=tuple(
            node.name
            for node in graph.nodes.values()
            if node.kind in (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT, Kind.STEP)
        ),
        seconds_each=_seconds_each(found, options),
        notes=tuple(notes),
    )


def _is_chosen(one: PartitionStatus, request: BackfillRequest) -> bool:
    if one.status is Status.RUNNING:
        return False
    if request.only or request.late:
        return one.status in request.only or (request.late and one.late)
    return one.status in REPROCESS[request.reprocess]


def _nothing(statuses: Sequence[PartitionStatus], request: BackfillRequest, pipeline: str) -> str:
    if not statuses:
        return f"no partition of pipeline {pipeline} is over yet"
    span = f"{statuses[0].partition.key} to {statuses[-1].partition.key}"
    by_ledger = bool(request.only) or request.late
    hint = "" if by_ledger else "; --reprocess failed or completed runs others again"
    return (
        f"there is nothing to do from {span}: no partition of pipeline {pipeline} is"
        f" {_wanted(request)}{hint} (`dbtorch partitions {pipeline}` shows them)"
    )


def _wanted(request: BackfillRequest) -> str:
    if request.only or request.late:
        names = [status.value for status in Status if status in request.only]
        return " or ".join([*names, *(["late"] if request.late else [])])
    return " or ".join(status.value for status in REPROCESS[request.reprocess])


def _is_file(found: Subject) -> bool:
    target = found.opened.selected.target
    return target.get("type") in _OF_ONE and not str(target.get("path") or "").startswith("md:")


def _refuse_to_merge(found: Subject) -> None:
    """Raise `UsageError` where something besides batches of microbatch models has partitions."""
    graph, pipeline = found.opened.planned.plan.graph, found.pipeline
    steps = [node.name for node in graph.nodes.values() if node.kind is Kind.STEP]
    if steps:
        raise UsageError(
            f"--merge would give step {steps[0]} several partitions at once; leave --merge out, or"
            f" the step: --exclude step:{steps[0]}"
        )
    depends = [name for name, value in pipeline.vars.items() if "run." in str(value)]
    if depends:
        raise UsageError(
            f"--merge would give several partitions at once to variable {depends[0]} of pipeline"
            f" {pipeline.name}; leave it out"
        )
    if not any(node.splits for node in graph.nodes.values()):
        raise UsageError("--merge is for microbatch models, and none is selected; leave it out")


def _seconds_each(found: Subject, options: RunOptions) -> float | None:
    if not options.narrowed:
        runs = found.store.runs(
            limit=_LOOKED_AT, pipeline=found.pipeline.name, state=RunState.SUCCESS
        )
        took = [
            seconds_at_work(run, run.finished_at)
            for run in runs
            if run.finished_at is not None and not run.partial
        ]
        if took:
            return median(took)
    plan = found.opened.planned.plan
    return forecast(plan).seconds if plan.expected else None
