"""Starting dbt for a run, which imports and parses while everything else gets ready."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.app.inbox import Inbox
from dbtorch.core.config import EngineType
from dbtorch.core.errors import UsageError
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.used_dbt import UsedDbt
from dbtorch.service.planning.manifest_cache import ManifestCache
from dbtorch.service.project.known_secrets import refuse_secrets, scrubber_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project
from dbtorch.service.resume.kept_state import keep_state, with_kept_state
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.control import NOTHING_BEGAN, RunControl
from dbtorch.service.run.listener import Listen, RunListener
from dbtorch.service.wiring.engines import Choice, Engines, choose_engine

if TYPE_CHECKING:
    from dbtorch.ports.engine import Engine, Selected
    from dbtorch.ports.loop import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """What there is of a run once dbt has been started."""

    project: Project
    options: RunOptions
    run_context: RunContext
    args: tuple[str, ...]  # of `dbt build`
    files: RunFiles
    inbox: Inbox
    hide: Scrubber
    control: RunControl
    listener: RunListener
    clock: Clock
    engine: Engine
    dbt: UsedDbt
    grace: float  # seconds
    manifest_cache: ManifestCache
    kept: Selected | None  # what dbt answered last time, and must answer now
    speculative: bool  # whether dbt's nodes start without another answer than that


def launch(
    stack: ExitStack,
    project: Project,
    options: RunOptions,
    run_context: RunContext,
    *,
    listen: Listen,
    control: RunControl,
    recalls: bool = False,
    lingers: bool = False,
) -> Launched:
    """Start dbt, which imports and parses while we look at everything else.

    With ``recalls`` what dbt answered last time may do instead of what it answers now, but where
    dbt ``lingers`` to be asked things before and after the run. ``listen`` makes who is told of it.
    Raises `EngineError`, `StoreError`, `UsageError`.
    """
    state = make_state_dir(project.dir, options.environ)
    files = RunFiles(state, run_context.run_id)
    args = options.dbt_args_for(project.config)
    hide = scrubber_of(
        project,
        args,
        urls=(options.database_url, options.artifacts_url),
        cwd=options.cwd,
        environ=options.environ,
    )
    if recalls:
        refuse_secrets(run_context.params, hide)
    inbox, clock = Inbox(hide), SystemClock()
    control.outlook = NOTHING_BEGAN if recalls else f"run {run_context.run_id} is as it was"
    grace = project.config.grace if options.grace is None else options.grace
    control.grace = grace
    _prepare(files)
    choice = choose_engine(project)
    if recalls:
        keep_state(args, options.environ, _base_of_states(project, options, choice), files)
    else:
        args = with_kept_state(args, options.environ, files)
    engine = Engines(
        project=project,
        args=args,
        files=files,
        run_context=run_context,
        cwd=options.cwd,
        grace=grace,
        environ=options.environ,
        hide=hide,
        lingers=lingers,
        standby=options.standby,
    ).chosen(inbox.put, choice)
    stack.callback(engine.close)
    control.kills(engine.kill)
    engine.launch()
    listener = listen(clock, hide)
    stack.callback(listener.close)
    manifest_cache = ManifestCache(
        project.dir, _cache_key(project, options, run_context, choice, args), options.environ
    )
    kept = manifest_cache.recall() if recalls and not lingers else None
    cached = None if kept is None or _checks(project, kept) else kept
    speculative = engine.start_speculatively(cached)
    return Launched(
        project=project,
        options=options,
        run_context=run_context,
        args=args,
        files=files,
        inbox=inbox,
        hide=hide,
        control=control,
        listener=listener,
        clock=clock,
        engine=engine,
        dbt=choice.dbt,
        grace=grace,
        manifest_cache=manifest_cache,
        kept=kept,
        speculative=speculative,
    )


def _base_of_states(project: Project, options: RunOptions, choice: Choice) -> Path:
    """The folder that relative folders of states count from."""
    if choice.type is not EngineType.PROCESS:
        return project.dir
    from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher

    generation = Launcher.of(choice.executable).generation
    return project.dir if generation is None else generation.base_folder(project.dir, options.cwd)


def _cache_key(
    project: Project,
    options: RunOptions,
    run_context: RunContext,
    choice: Choice,
    args: tuple[str, ...],
) -> list[str]:
    """Everything that dbt's answer is an answer to."""
    steps = [f"{spec.id} {spec.produces} {spec.after}" for spec in project.config.steps.values()]
    by = [choice.type, choice.executable or project.python]
    return [*args, *by, run_context.pipeline, str(options.cwd), *steps]


def _checks(project: Project, kept: Selected) -> bool:
    """Whether relations are checked, of which only a manifest says where they are."""
    said = (node.meta.get("dbtorch") for node in kept.nodes)
    own = any(isinstance(one, dict) and "checks" in one for one in said)
    return own or bool(project.config.checks)


def _prepare(files: RunFiles) -> None:
    """Make the folders that every file of a run goes to. Raises `UsageError`."""
    try:
        files.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder {files.root} for logs cannot be made ({error.strerror}); "
            "give this user the right to"
        ) from error
