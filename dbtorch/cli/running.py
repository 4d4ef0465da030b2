"""`dbtorch run`: starts dbt, and then everything else."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.cron import interval
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.app.inbox import Inbox
from dbtorch.cli.engines import AnyEngine, Engines
from dbtorch.cli.errors import UsageError
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.project import Project, open_project
from dbtorch.cli.run_options import Options, pipeline_of
from dbtorch.cli.signals import Signals


def run(options: Options) -> int:
    """Run a pipeline once. Answers the exit code."""
    project = open_project(options.project_dir)
    pipeline = pipeline_of(project.config, options)
    now = SystemClock().now()
    logical_date = options.logical_date or now.replace(microsecond=0)
    start, end = interval(pipeline.schedule, logical_date)
    occasion = Occasion(
        run_id=f"{now:%Y%m%dT%H%M%S}Z-{secrets.token_hex(3)}",
        pipeline=pipeline.name,
        logical_date=logical_date,
        data_interval_start=start,
        data_interval_end=end,
    )
    with ExitStack() as stack:
        begun = launch(stack, project, options, occasion)
        from dbtorch.cli.stretch import Stretch  # what takes its time, while dbt starts

        return Stretch(stack, begun, now).go()


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What there is of a run once dbt has been started."""

    project: Project
    options: Options
    occasion: Occasion
    args: tuple[str, ...]  # of `dbt build`
    files: RunFiles
    inbox: Inbox
    signals: Signals
    engine: AnyEngine
    grace: float  # seconds


def launch(stack: ExitStack, project: Project, options: Options, occasion: Occasion) -> Begun:
    """Start dbt, which imports and parses while we look at everything else.

    Raises `EngineError`, `StoreError`, `UsageError`.
    """
    files = RunFiles(project.dir, occasion.run_id)
    args = options.dbt_args_for(project.config)
    inbox = Inbox()
    signals = stack.enter_context(Signals())
    grace = project.config.grace if options.grace is None else options.grace
    _prepare(project.dir, files)
    engine = Engines(
        project=project, args=args, files=files, occasion=occasion, cwd=options.cwd, grace=grace
    ).chosen(inbox.put)
    stack.callback(engine.close)
    engine.launch()
    return Begun(
        project=project,
        options=options,
        occasion=occasion,
        args=args,
        files=files,
        inbox=inbox,
        signals=signals,
        engine=engine,
        grace=grace,
    )


def _prepare(project_dir: Path, files: RunFiles) -> None:
    """Make the folders that every file of a run goes to. Raises `StoreError`, `UsageError`."""
    state_dir(project_dir)
    try:
        files.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder {files.root} for logs cannot be made ({error.strerror}); "
            "give this user the right to"
        ) from error
