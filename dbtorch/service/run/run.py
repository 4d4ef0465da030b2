"""A run from its start to its end."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.actor import actor
from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.run_files import new_run_id
from dbtorch.core.errors import (
    ConfigError,
    EngineError,
    PlanError,
    ProjectError,
    UsageError,
)
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.cause import Cause, CauseKind
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.control import NOTHING_BEGAN, RunControl
from dbtorch.service.run.launch import launch
from dbtorch.service.run.listener import Executed, Listen
from dbtorch.service.run.pipeline_args import pipeline_args

if TYPE_CHECKING:
    from dbtorch.service.run.companion import Companion

#: A run id of somebody's own: it is a folder's name, and an argument of other commands.
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

#: What keeps a run from beginning that was asked for as it should be: the history has it.
_KEEP_FROM_BEGINNING = (EngineError, ProjectError, PlanError, ConfigError)


def run(
    options: RunOptions,
    listen: Listen,
    control: RunControl,
    *,
    run_id: str = "",
    companion: Companion | None = None,
) -> Executed:
    """Run a pipeline once; returns when the run has ended, and its ``companion`` is done.

    ``run_id`` is a new one by default. Where ``options.run_id`` names a run that has begun, that
    one goes on. ``listen`` makes who is told of it, ``control`` ends it from outside. Raises
    `DbtorchError` where nothing can be run, `RunCancelled` when it is ended before it has begun.
    """
    control.outlook = NOTHING_BEGAN
    project = open_project(options.project_dir, options.environ)
    pipeline = pipeline_of(project.config, options)
    if options.run_id is not None and _has_begun(project, options, options.run_id):
        from dbtorch.core.history.records import Verb
        from dbtorch.service.resume.request import RetryRequest
        from dbtorch.service.resume.retry import retry

        return retry(options, options.run_id, RetryRequest(verb=Verb.RETRY), listen, control)
    params: dict[str, Any] = {}
    if pipeline.params or options.params:
        from dbtorch.core.params import settled

        params = settled(pipeline.name, pipeline.params, options.params)
    now = SystemClock().now()
    run_id = options.run_id or run_id or new_run_id()
    stands_for = Interval.of_text(options.tick_interval) if options.tick_interval else None
    run_context = RunContext.of(
        pipeline,
        options.logical_date,
        now,
        run_id=run_id,
        stands_for=stands_for,
        params=params,
        cause=options.cause or Cause(kind=CauseKind.MANUAL, by=actor()),
        partition=options.partition,
    )
    if options.tick and not options.partition:
        planned_at = now if stands_for is None else stands_for.end
        run_context = replace(run_context, planned_at=planned_at)
    options = replace(options, pipeline_args=pipeline_args(pipeline, options, run_context))
    try:
        with ExitStack() as stack, control.explains():
            launched = launch(
                stack,
                project,
                options,
                run_context,
                listen=listen,
                control=control,
                recalls=True,
                lingers=companion is not None,
            )
            from dbtorch.service.run.execution import (
                Execution,  # what takes its time, while dbt starts
            )

            return Execution(stack, launched, companion=companion).go()
    except _KEEP_FROM_BEGINNING as error:
        if not control.begun:
            from dbtorch.service.run.not_begun import record_not_begun

            record_not_begun(project, options, run_context, error)
        raise


def _has_begun(project: Project, options: RunOptions, run_id: str) -> bool:
    """Whether the run that is named has begun. Raises `UsageError` for a name that is none.

    Also for one that has begun as another run than these options make.
    """
    from dbtorch.core.errors import NoHistory
    from dbtorch.service.history.store import history_of

    if run_id == "latest" or not _RUN_ID.fullmatch(run_id):
        raise UsageError(
            f"{run_id!r} is no run id: use up to 100 letters, digits, '.', '_' and '-', of"
            " which the first is a letter or a digit, and not the word latest"
        )
    words = options.dbt_args_for(project.config)
    try:
        with closing(history_of(project, options, words)) as store:
            earlier = store.run(run_id, transitions=False) if run_id in store.find(run_id) else None
            target = store.identity.target
    except NoHistory:
        return False
    if earlier is not None:
        _refuse_another(earlier, project, options, target)
    return earlier is not None


def _refuse_another(earlier: RunRecord, project: Project, options: RunOptions, target: str) -> None:
    """Raise `UsageError` where an id is given to another run than the one that has it."""
    pipeline = pipeline_of(project.config, options)
    said: list[tuple[str, object, object]] = [
        ("pipeline", earlier.pipeline, pipeline.name),
        ("target", earlier.target, target or earlier.target),
    ]
    if options.logical_date is not None and not options.partition:
        wanted = RunContext.of(pipeline, options.logical_date, earlier.started_at, run_id="")
        said.append(("logical date", earlier.logical_date, wanted.interval.logical_date))
    if options.partition:
        said.append(("partition", earlier.partition, options.partition))
    for name in ("steps", "checks", "freshness", "downstream_steps"):
        if getattr(options, name) != earlier.options.get(name, getattr(options, name)):
            raise UsageError(
                f"run {earlier.run_id} goes on as it was started, with another choice of"
                f" {name.replace('_', ' ')}: give another run another --run-id"
            )
    had_params = dict(earlier.options.get("params") or {})
    if options.params:
        from dbtorch.core.params import settled

        given_params = settled(pipeline.name, pipeline.params, options.params)
        said.append(("params", had_params, given_params))
    for what, had, given in said:
        if had != given:
            raise UsageError(
                f"run {earlier.run_id} goes on as it was started, and its {what} was {had}, not"
                f" {given}: give another run another --run-id"
            )
