"""What would run: a dbt session that touches nothing, and the plan of what it selects."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.run_files import RunFiles
from dbtorch.app.inbox import Inbox
from dbtorch.app.step_wiring import texts_to_resolve
from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import ConfigError, PlanError, StoreError
from dbtorch.core.params import settled
from dbtorch.core.plan import Plan
from dbtorch.ports.engine import Engine, Selected
from dbtorch.ports.store import Store
from dbtorch.service.history.store import history_of
from dbtorch.service.planning.manifest_cache import ManifestCache
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.pipeline_args import pipeline_args
from dbtorch.service.tell import Tell, nobody
from dbtorch.service.wiring.engines import Engines


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A pipeline, and what a run of it would do."""

    project: str  # dbt's name of it
    pipeline: PipelineSpec
    plan: Plan
    ui_url: str  # where people open the pages; empty for nowhere


@contextmanager
def open_session(
    options: RunOptions, args: tuple[str, ...] | None = None, *, warn: Tell = nobody
) -> Iterator[tuple[Project, Engine, Selected]]:
    """A session that touches nothing yet, with what dbt selects.

    ``args`` are options for dbt, by default those of a run. ``warn`` is told what nobody has to
    mend now. Raises `UsageError`, `ConfigError`, `EngineError`.
    """
    project = open_project(options.project_dir, options.environ)
    pipeline = pipeline_of(project.config, options)
    params = settled(pipeline.name, pipeline.params, options.params, runs=False)
    run_context = RunContext.of(pipeline, None, SystemClock().now(), run_id="plan", params=params)
    options = replace(options, pipeline_args=pipeline_args(pipeline, options, run_context))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbtorch-")))
        files = RunFiles(scratch, run_context.run_id)
        args = options.dbt_args_for(project.config) if args is None else args
        engine = Engines(
            project=project,
            args=args,
            files=files,
            run_context=run_context,
            cwd=options.cwd,
            environ=options.environ,
        ).chosen(Inbox().put)
        stack.callback(engine.close)
        selected = engine.open(texts_to_resolve(project.config))
        for warning in (*engine.warnings, *(f"dbt: {found}" for found in selected.warnings)):
            warn(warning)
        yield project, engine, selected


@contextmanager
def open_plan(
    options: RunOptions, *, warn: Tell = nobody, note: Tell = nobody
) -> Iterator[OpenedPlan]:
    """The plan of what a run with these options would do; ``note`` is told what is left out.

    Raises `PlanError` as well as what `open_session` raises.
    """
    with open_session(options, warn=warn) as (project, _, selected):
        store = known_history(project, options)
        try:
            opening = OpenedPlan.of(project, selected, options, store)
            if opening.held_back:
                note(opening.held_back)
            yield opening
        finally:
            if store is not None:
                store.close()


def cached_plan(options: RunOptions, *, warn: Tell = nobody) -> OpenedPlan:
    """The plan made of what dbt answered last time; dbt is asked where something has changed since.

    What a file of Airflow or Dagster reads each time it is imported. Raises what `open_plan` does.
    """
    return _cached(open_project(options.project_dir, options.environ), options, warn)


def outline(options: RunOptions) -> Outline:
    """The same with what dbtorch.yml says of the pipeline. Raises what `open_plan` does."""
    project = open_project(options.project_dir, options.environ)
    return Outline(
        project=project.name,
        pipeline=pipeline_of(project.config, options),
        plan=_cached(project, options, nobody).planned.plan,
        ui_url=project.config.ui.url or "",
    )


def _cached(project: Project, options: RunOptions, warn: Tell) -> OpenedPlan:
    pipeline = pipeline_of(project.config, options)
    words = (
        *options.dbt_args_for(project.config),
        pipeline.name if pipeline.vars else "",
        *texts_to_resolve(project.config),
    )
    cache = ManifestCache(project.dir, ("plan", *words), options.environ)
    selected = cache.recall()
    if selected is None:
        with open_session(options, warn=warn) as (_, _, selected):
            cache.keep(selected)
    store = known_history(project, options)
    try:
        return OpenedPlan.of(project, selected, options, store)
    finally:
        if store is not None:
            store.close()


def known_history(project: Project, options: RunOptions) -> Store | None:
    """The history, for estimates; a project without one is planned all the same."""
    try:
        return history_of(project, options, options.dbt_args_for(project.config))
    except StoreError:
        return None


@contextmanager
def open_valid(
    options: RunOptions, *, warn: Tell = nobody, note: Tell = nobody
) -> Iterator[OpenedPlan]:
    """The plan of a project in which all fits together.

    Raises `ConfigError` with everything that does not: functions, files and names that steps
    mention and nobody has, wrong settings, and how steps, gates and checks name things.
    """
    from dbtorch.adapters.steps.promises import broken_promises

    project = open_project(options.project_dir)
    wrong = broken_promises(project.config, python=project.python, project_dir=project.dir)
    with ExitStack() as stack:
        try:
            opening = stack.enter_context(open_plan(options, warn=warn, note=note))
        except (ConfigError, PlanError) as error:
            raise ConfigError([*wrong, *error.problems]) from error
        if wrong:
            raise ConfigError(wrong)
        yield opening


def notifiers_off(project: Project) -> dict[str, str]:
    """Notifiers that could tell nobody, and why."""
    spec = project.config.alerts
    if spec is None or not spec.notifiers:
        return {}
    from dbtorch.service.alerts.notifiers import build_notifiers

    return dict(build_notifiers(spec).off)
