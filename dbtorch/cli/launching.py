"""Starting dbt for a run, which imports and parses while everything else gets ready."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.adapters.turns import stand_back
from dbtorch.app.inbox import Inbox
from dbtorch.cli.engines import AnyEngine, Choice, Engines, choose_engine
from dbtorch.cli.errors import UsageError
from dbtorch.cli.head_start import HeadStart
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.project import Project
from dbtorch.cli.run_options import Options
from dbtorch.cli.signals import Signals
from dbtorch.ports import Selected

if TYPE_CHECKING:
    from pathlib import Path

    from dbtorch.adapters.dbt.process.early import Early


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
    head_start: HeadStart
    kept: Selected | None  # what dbt answered last time, and must answer now
    goes_ahead: bool  # whether dbt's nodes start without another answer than that


def launch(
    stack: ExitStack,
    project: Project,
    options: Options,
    occasion: Occasion,
    *,
    early: Early | None = None,
    recalls: bool = False,
) -> Begun:
    """Start dbt, which imports and parses while we look at everything else.

    With ``recalls`` what dbt answered last time may do instead of what it answers now.
    Raises `EngineError`, `StoreError`, `UsageError`.
    """
    stand_back()
    files = RunFiles(project.dir, occasion.run_id)
    args = options.dbt_args_for(project.config)
    inbox = Inbox()
    signals = stack.enter_context(Signals())
    grace = project.config.grace if options.grace is None else options.grace
    _prepare(project.dir, files)
    choice = choose_engine(project)
    engine = Engines(
        project=project,
        args=args,
        files=files,
        occasion=occasion,
        cwd=options.cwd,
        grace=grace,
        early=early,
    ).chosen(inbox.put, choice)
    stack.callback(engine.close)
    engine.launch()
    if early is not None:
        early.close()  # what the engine had no use for
    head_start = HeadStart(project.dir, _asked(project, options, occasion, choice, args))
    kept = head_start.recall() if recalls else None
    goes_ahead = engine.expect(None if kept is None or _checks(project, kept) else kept)
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
        head_start=head_start,
        kept=kept,
        goes_ahead=goes_ahead,
    )


def _asked(
    project: Project, options: Options, occasion: Occasion, choice: Choice, args: tuple[str, ...]
) -> list[str]:
    """Everything that dbt's answer is an answer to."""
    steps = [f"{spec.id} {spec.produces} {spec.after}" for spec in project.config.steps.values()]
    by = [choice.type, choice.executable or project.python]
    return [*args, *by, occasion.pipeline, str(options.cwd), *steps]


def _checks(project: Project, kept: Selected) -> bool:
    """Whether relations are checked, of which only a manifest says where they are."""
    said = (node.meta.get("dbtorch") for node in kept.nodes)
    own = any(isinstance(one, dict) and "checks" in one for one in said)
    return own or bool(project.config.checks)


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
