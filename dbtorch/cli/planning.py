"""`dbtorch plan`, `graph` and `validate`: open a session, look, and leave."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.cron import interval
from dbtorch.adapters.run_files import RunFiles
from dbtorch.app.inbox import Inbox
from dbtorch.app.planning import texts_to_resolve
from dbtorch.cli.engines import AnyEngine, Engines
from dbtorch.cli.errors import OK
from dbtorch.cli.graph_text import graph_text
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.opening import Opening
from dbtorch.cli.plan_text import plan_text
from dbtorch.cli.project import Project, configured_store, open_project
from dbtorch.cli.run_options import Options, pipeline_of
from dbtorch.cli.signals import Signals
from dbtorch.cli.wiring import build_store
from dbtorch.core.graph import Kind
from dbtorch.ports import Selected, Store, StoreError


def plan(options: Options, format: str) -> int:
    """Print what would run. Answers the exit code."""
    with _opened(options) as opening:
        click.echo(plan_text(opening.planned.plan, format=format))
    return OK


def graph(options: Options, format: str) -> int:
    """Print the graph of what would run. Answers the exit code."""
    with _opened(options) as opening:
        click.echo(graph_text(opening.planned.plan.graph, format))
    return OK


def validate(options: Options) -> int:
    """Say that everything fits together; what does not is an error. Answers the exit code."""
    with _opened(options) as opening:
        kinds = [node.kind for node in opening.planned.plan.graph.nodes.values()]
        steps = kinds.count(Kind.STEP)
        inside = len([k for k in kinds if k not in (Kind.STEP, Kind.SESSION, Kind.OPERATION)])
        click.echo(
            f"OK: {inside} dbt nodes and {steps} steps on target "
            f"{opening.selected.target['name']} ({opening.selected.adapter})"
        )
    return OK


@contextmanager
def open_session(
    options: Options, args: tuple[str, ...] | None = None
) -> Iterator[tuple[Project, AnyEngine, Selected]]:
    """A session that touches nothing yet, with what dbt selects.

    ``args`` are options for dbt, those of the run that is asked for by default.
    """
    project = open_project(options.project_dir)
    pipeline = pipeline_of(project.config, options)
    now = SystemClock().now()
    start, end = interval(pipeline.schedule, now)
    occasion = Occasion(
        run_id="plan",
        pipeline=pipeline.name,
        logical_date=now,
        data_interval_start=start,
        data_interval_end=end,
    )
    with ExitStack() as stack:
        stack.enter_context(Signals())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbtorch-")))
        files = RunFiles(scratch, occasion.run_id)
        args = options.dbt_args_for(project.config) if args is None else args
        engine = Engines(
            project=project, args=args, files=files, occasion=occasion, cwd=options.cwd
        ).chosen(Inbox().put)
        stack.callback(engine.close)
        selected = engine.open(texts_to_resolve(project.config))
        for warning in engine.warnings:
            click.echo(f"Warning: {warning}", err=True)
        yield project, engine, selected


@contextmanager
def _opened(options: Options) -> Iterator[Opening]:
    with open_session(options) as (project, _, selected):
        store = _history(project.dir, configured_store(options.database_url, project.dir))
        try:
            yield Opening.of(project, selected, options, store)
        finally:
            if store is not None:
                store.close()


def _history(project_dir: Path, url: str | None) -> Store | None:
    """The history, for estimates; a project without one is planned all the same."""
    try:
        return build_store(project_dir, url, create=False)
    except StoreError:
        return None
