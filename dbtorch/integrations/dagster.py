"""A project as assets of Dagster: one op, in which dbtorch runs what is chosen of it.

dbtorch executes the run, retries included; Dagster shows what came of it. Needs the extra
``dagster``.
"""

# No `from __future__ import annotations`: Dagster looks at that of an op's context.

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Unpack, cast

import dagster as dg
from dagster._core.storage.tags import ASSET_RESUME_RETRY_TAG, RESUME_RETRY_TAG

from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import DbtorchError, NothingToDo, UsageError
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.naming import called_apart
from dbtorch.core.model.state import RunState, State
from dbtorch.integrations.dagster_assets import (
    AssetKeyOf,
    Assets,
    asset_key,
    definition_of,
    valid_name,
)
from dbtorch.integrations.following import FollowedRun
from dbtorch.service.api import NodeChange, Project
from dbtorch.service.project.arguments import RunArguments
from dbtorch.service.project.options import DEFAULT_PIPELINE
from dbtorch.service.project.project import open_project
from dbtorch.service.run.result import Run
from dbtorch.service.schedule.elsewhere import CronTimes, partition_at, partition_from

__all__ = ["asset_key", "dbtorch_definitions"]

#: Tags of a run of Dagster: what it is a run of, and what that stands for.
PIPELINE_TAG, PARTITION_TAG, DATE_TAG = (
    f"dbtorch/{name}" for name in ("pipeline", "partition", "logical_date")
)

#: What is chosen in Dagster, and what is Dagster's to say.
_NOT_OPTIONS = ("select", "exclude", "selector", "run_id", "pipeline", "partition")

_DONE = (State.SUCCESS, State.WARN)
_LOOKS = (Kind.TEST, Kind.UNIT_TEST, Kind.CHECK, Kind.SOURCE)


def dbtorch_definitions(
    project: Project | str | os.PathLike[str] = ".",
    /,
    *pipelines: str,
    name: str = "dbtorch",
    key: AssetKeyOf = asset_key,
    **options: Unpack[RunArguments],
) -> dg.Definitions:
    """Assets and checks of a project, and a job and a schedule for each pipeline.

    Of the pipelines that are named; of all, and of all nodes besides, where none is. ``name`` is
    that of the op, ``key`` says which asset a node is. ``options`` are those of `Project.run`; a
    run may be given some of its own, as ``options`` in the config of the op. dbt is started where
    something has changed since the last time. Raises what `Project.plan` raises.
    """
    opened = project if isinstance(project, Project) else Project(project)
    _refuse(options)
    known = open_project(str(opened.dir)).config.pipelines
    if unknown := [one for one in pipelines if one not in known]:
        opened.plan(cached=True, pipeline=unknown[0])  # which says what there is
    specs = {one: known[one] for one in pipelines or known}
    if not specs:
        specs = {DEFAULT_PIPELINE: PipelineSpec(name=DEFAULT_PIPELINE)}
    assets = Assets.of(opened, specs, key=key, everything=not pipelines)

    @dg.multi_asset(  # type: ignore[untyped-decorator]
        name=name,
        specs=[*assets.specs()],
        check_specs=[*assets.check_specs()],
        can_subset=True,
        config_schema={
            "options": dg.Field(
                dict, default_value={}, description="Arguments of dbtorch's Project.run."
            )
        },
    )
    def run(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from _Execution(opened, assets, specs, name, context).go({**options})

    names = called_apart({one: one for one in specs}, valid_name)
    jobs = {
        one: _job(one, names[one], spec, assets)
        for one, spec in specs.items()
        if assets.of_pipeline(one)
    }
    schedules = [
        _schedule(
            spec, jobs[one], partitioned=bool(assets.of_pipeline(one) & assets.partitions.keys())
        )
        for one, spec in specs.items()
        if spec.schedule is not None and one in jobs
    ]
    return dg.Definitions(assets=[run], jobs=[*jobs.values()], schedules=schedules)


def _refuse(options: Mapping[str, Any]) -> None:
    """Raise `UsageError` for options that Dagster's own choice is about."""
    for name in _NOT_OPTIONS:
        if name in options:
            raise UsageError(
                f"{name} is no option here: choose assets, partitions and jobs in Dagster, and"
                " name the pipelines that it is to have as arguments of dbtorch_definitions"
            )


def _job(pipeline: str, name: str, spec: PipelineSpec, assets: Assets) -> Any:
    mine = assets.of_pipeline(pipeline)
    keys = [assets.keys[id] for id in mine if id in assets.keys]
    checks = [assets.checks[id] for id in mine if id in assets.checks]
    selection = dg.AssetSelection.assets(*keys).without_checks()
    if checks:
        selection |= dg.AssetSelection.checks(*checks)
    return dg.define_asset_job(
        name,
        selection,
        description=spec.description or None,
        tags={PIPELINE_TAG: pipeline},
        owners=assets.owners(spec.owner),
    )


def _schedule(spec: PipelineSpec, job: Any, *, partitioned: bool) -> dg.ScheduleDefinition:
    """A schedule that starts what `dbtorch serve` would: what Dagster cannot say is skipped."""
    schedule = spec.schedule
    assert schedule is not None
    times = CronTimes(schedule)

    def due(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        interval = times.stands_for(at)
        if interval is None:
            return dg.SkipReason(f"dbtorch.yml: pipeline {spec.name} does not run at this time")
        tags = {PIPELINE_TAG: spec.name}
        key = None
        if spec.partition is None:
            tags[DATE_TAG] = interval.logical_date.isoformat()
        else:
            partition = partition_at(spec, interval.end)
            tags[PARTITION_TAG] = partition.key
            key = definition_of(spec.partition).get_partition_key_for_timestamp(
                partition.start.timestamp()
            )
        run_key = interval.end.isoformat()
        return dg.RunRequest(run_key, tags=tags, partition_key=key if partitioned else None)

    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=[*times.crons],
        execution_timezone=schedule.timezone,
        execution_fn=due,
        description=f"{schedule} ({schedule.timezone})",
    )


class _Execution:
    """What a run of Dagster has dbtorch do, and what came of it."""

    def __init__(
        self,
        project: Project,
        assets: Assets,
        pipelines: Mapping[str, PipelineSpec],
        name: str,
        context: dg.AssetExecutionContext,
    ) -> None:
        self._project = project
        self._assets = assets
        self._pipelines = pipelines
        self._name = name
        self._context = context
        self._chosen = {
            id
            for known, selected in (
                (assets.keys, context.selected_asset_keys),
                (assets.checks, context.selected_asset_check_keys),
            )
            for id, key in known.items()
            if key in selected
        }
        self._began: dict[str, datetime] = {}
        self._told: set[str] = set()
        self._goes_on = bool(context.op_execution_context.retry_number)  # with a run that is there

    def go(self, options: dict[str, Any]) -> Iterator[Any]:
        """Run, and yield what is materialised and checked; raises `dg.Failure` for all else."""
        try:
            given = self._arguments(options)
            with FollowedRun(self._project, **given) as followed:
                for change in followed:
                    yield from self._changed(change)
                run = self._ended(followed, given["run_id"])
        except DbtorchError as error:
            raise dg.Failure(str(error)) from error
        yield from self._rest(run)
        self._refuse_what_is_not_done(run)

    def _rest(self, run: Run) -> Iterator[Any]:
        """What earlier executions of the run have done, too; Dagster wants parents first."""
        order = {id: at for at, id in enumerate(self._assets.lineage.order())}
        for node in sorted(run.nodes, key=lambda node: order.get(node.id, len(order))):
            if node.id in self._told or not node.attempts:
                continue
            last = node.attempts[-1]
            by_hand = node.state in _DONE and last.state not in _DONE
            state = last.state if by_hand else node.state
            yield from self._end(
                node.id, state, str(node.reason), last.number, last.seconds, last.rows_affected
            )

    def _ended(self, followed: FollowedRun, run_id: str) -> Run:
        try:
            return followed.result
        except NothingToDo:  # the run was done, and then Dagster was interrupted
            return self._project.show(run_id)

    def _refuse_what_is_not_done(self, run: Run) -> None:
        """Raise `dg.Failure` for a run that did not do all of it."""
        if run.state != RunState.SUCCESS:
            failed = ", ".join(node.name for node in run.failed)
            why = f"; failed: {failed}" if failed else ""
            if run.state == RunState.GATED and run.record is not None:
                known = {node.id: node.name for node in run.nodes}
                waits = ", ".join(known.get(id, id) for id in run.record.waits)
                why = f"; not fresh: {waits}"
            raise dg.Failure(f"run {run.id}: {run.state}{why}; see dbtorch show {run.id}")
        had = {node.id for node in run.nodes}
        missing = [
            id
            for id in self._chosen & self._assets.keys.keys()
            if id not in had and Kind.of(id) is not Kind.SOURCE
        ]
        if missing:
            raise dg.Failure(
                f"run {run.id} has nothing of {', '.join(sorted(missing))}: the project has"
                " changed; reload the definitions of Dagster"
            )

    # ---------------------------------------------------------------- what it runs

    def _arguments(self, options: dict[str, Any]) -> RunArguments:
        own = dict(self._context.op_execution_context.op_config["options"])
        _refuse(own)
        given = {**options, **own, "run_id": self._run_id()}
        tags = self._context.run.tags
        pipeline = tags.get(PIPELINE_TAG) or self._only_pipeline()
        if pipeline is not None:
            given["pipeline"] = pipeline
        if DATE_TAG in tags:
            given.setdefault("logical_date", tags[DATE_TAG])
        if partition := self._partition(pipeline) or tags.get(PARTITION_TAG):
            given["partition"] = partition
        if not self._is_whole(pipeline):
            given["select"] = [self._assets.selection(id) for id in sorted(self._chosen)]
            words = tuple(given.get("dbt_args") or ())
            given["dbt_args"] = ("--indirect-selection", "empty", *words)
        return cast("RunArguments", given)

    def _run_id(self) -> str:
        """A run that Dagster goes on with, from its failure, goes on here."""
        run = self._context.run
        while RESUME_RETRY_TAG in run.tags or ASSET_RESUME_RETRY_TAG in run.tags:
            before = self._context.instance.get_run_by_id(run.parent_run_id or "")
            if before is None:
                break
            run, self._goes_on = before, True
        op = self._context.op_execution_context.op_handle.name
        return f"dagster-{run.run_id}" + (f"-{op}" if op != self._name else "")

    def _is_whole(self, pipeline: str | None) -> bool:
        return self._assets.of_pipeline(pipeline or "") == self._chosen

    def _only_pipeline(self) -> str | None:
        """The pipeline that what is chosen belongs to, where there is one and no other."""
        found = [one for one in self._pipelines if self._chosen <= self._assets.of_pipeline(one)]
        return found[0] if len(found) == 1 else None

    def _partition(self, pipeline: str | None) -> str:
        if not (self._context.has_partition_key or self._context.has_partition_key_range):
            return ""
        spec = self._pipelines.get(pipeline or "")
        if spec is None or spec.partition is None:
            raise UsageError(
                "what is chosen belongs to no single pipeline whose partition it could be:"
                " materialize the assets of one pipeline, or run its job"
            )
        window = definition_of(spec.partition).time_window_for_partition_key
        keys = self._context.partition_keys
        return partition_from(spec, window(keys[0]).start, window(keys[-1]).start).key

    # ---------------------------------------------------------------- what came of it

    def _changed(self, change: NodeChange) -> Iterator[Any]:
        state = State(change.state)
        say = self._context.log.error if state is State.FAILED else self._context.log.info
        say(str(change))
        if state is State.RUNNING:
            self._began[change.node_id] = change.at
        if state.final and not self._goes_on:
            began = self._began.get(change.node_id)
            took = (change.at - began).total_seconds() if began is not None else None
            yield from self._end(
                change.node_id, state, change.reason, change.attempt, took, change.rows_affected
            )

    def _end(
        self,
        id: str,
        state: State,
        reason: str,
        attempts: int,
        seconds: float | None,
        rows: int | None,
    ) -> Iterator[Any]:
        """What Dagster is told of a node's end; nothing of one that was not executed."""
        self._told.add(id)
        said = {"state": state.value, "attempts": attempts, "seconds": seconds, "rows": rows}
        metadata = {f"dbtorch/{name}": value for name, value in said.items() if value is not None}
        if Kind.of(id) in _LOOKS:
            yield from self._checked(id, state, reason, metadata)
        elif id in self._assets.keys and state in _DONE:
            yield from self._materialized(id, metadata)
            for source in self._assets.produced_by(id):
                yield from self._materialized(source, {"dbtorch/step": id})

    def _materialized(self, id: str, metadata: Mapping[str, Any]) -> Iterator[Any]:
        key = self._assets.keys[id]
        if key in self._context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
        else:  # a step that fills what was chosen
            self._context.log_event(dg.AssetMaterialization(asset_key=key, metadata=metadata))

    def _checked(
        self, id: str, state: State, reason: str, metadata: Mapping[str, Any]
    ) -> Iterator[Any]:
        evaluated = state in (*_DONE, State.FAILED) or (
            state is State.SKIPPED and Kind.of(id) is Kind.SOURCE and metadata["dbtorch/attempts"]
        )
        key = self._assets.checks.get(id)
        if key not in self._context.selected_asset_check_keys or key is None or not evaluated:
            return
        warns = state is State.WARN
        yield dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=state is State.SUCCESS,
            severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
            description=reason or None,
            metadata=metadata,
        )
