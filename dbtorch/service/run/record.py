"""What is written of a run when it begins, and what its steps are told of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dbtorch.adapters.git import Checkout
from dbtorch.adapters.processes.liveness import this_host
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.records import ONLY_MODELS, RunRecord
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.cause import CauseKind
from dbtorch.ports.steps import StepContext
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project
from dbtorch.service.project.store_scope import id_of
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.launch import Launched
from dbtorch.version import VERSION

if TYPE_CHECKING:
    from dbtorch.ports.engine import Selected

#: Airflow's words for a run that somebody has started, and one that a schedule has; and one that
#: something else has.
MANUAL, SCHEDULED, TRIGGERED, BACKFILL = "manual", "scheduled", "triggered", "backfill"


def describe_run(
    launched: Launched,
    run_context: RunContext,
    opened: OpenedPlan,
    commit: Checkout,
    hide: Scrubber,
    earlier: RunRecord | None = None,
) -> RunRecord:
    """The record of a run, without nodes, and without secrets; ``earlier`` if it goes on."""
    selected = opened.selected
    return RunRecord(
        run_id=run_context.run_id,
        pipeline=run_context.pipeline,
        project=selected.project,
        target=str(selected.target["name"]),
        logical_date=run_context.interval.logical_date,
        data_interval_start=run_context.interval.start,
        data_interval_end=run_context.interval.end,
        state=RunState.RUNNING,
        started_at=run_context.now,
        command=_without_secrets(launched.options.command, hide),
        trigger=_trigger(launched.options, earlier),
        partial=launched.options.partial,
        partition=run_context.partition or _of_models(opened),
        dbt_args=tuple(hide.json(launched.args)),
        dbtorch_version=VERSION,
        dbt_version=selected.dbt_version,
        adapter=selected.adapter,
        manifest_hash=selected.manifest_hash,
        git_commit=commit.commit,
        git_dirty=commit.dirty,
        host=this_host(),
        pid=os.getpid(),
        edges=tuple(opened.planned.plan.graph.edges()),
    )


def step_context(run_context: RunContext, project: Project, selected: Selected) -> StepContext:
    """What every step of a run is told about it."""
    return StepContext(
        run_id=run_context.run_id,
        project=project.name,
        pipeline=run_context.pipeline,
        logical_date=run_context.interval.logical_date,
        data_interval_start=run_context.interval.start,
        data_interval_end=run_context.interval.end,
        previous_success_end=run_context.previous_success_end,
        up_to_now=run_context.goes_on,
        partition=run_context.partition,
        project_dir=project.dir,
        target=selected.target,
        vars=selected.vars,
        params=run_context.params,
        trigger=run_context.trigger,
        project_id=id_of(project) if project.config.steps else "",
    )


def _of_models(opened: OpenedPlan) -> str:
    """What says that models have partitions, where the run as such has none."""
    metas = (node.meta.get("dbtorch") for node in opened.planned.plan.graph.nodes.values())
    some = any(isinstance(meta, Mapping) and meta.get("partition") for meta in metas)
    return ONLY_MODELS if some else ""


def _trigger(options: RunOptions, earlier: RunRecord | None) -> str:
    """What started a run: who goes on with it has not."""
    if earlier is not None:
        return earlier.trigger
    if not options.tick:
        return MANUAL
    if options.cause is not None and options.cause.kind is CauseKind.BACKFILL:
        return BACKFILL
    by_schedule = options.cause is None or options.cause.kind is CauseKind.SCHEDULE
    return SCHEDULED if by_schedule else TRIGGERED


def _without_secrets(words: Sequence[str], hide: Scrubber) -> tuple[str, ...]:
    """A command line as it may be kept: passwords in URLs may hold anything."""
    return tuple(hide(re.sub(r"://\S*@", "://*****@", word)) for word in words)
