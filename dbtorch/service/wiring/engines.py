"""Which engine executes dbt's nodes, and why; and the one place that builds it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.adapters.dbt.installation import used_dbt
from dbtorch.adapters.install_command import install_command
from dbtorch.adapters.processes.reaping import RUN
from dbtorch.adapters.run_files import STARTED, WINDOW_END, RunFiles
from dbtorch.core.config import GRACE, EngineType
from dbtorch.core.errors import MissingDbt
from dbtorch.core.failures.scrub import Scrubber, secrets_of
from dbtorch.core.model.used_dbt import UsedDbt, Where
from dbtorch.service.project.profiles import profiles_args, profiles_files
from dbtorch.service.project.project import Project
from dbtorch.service.project.refusals import refuse
from dbtorch.service.run.context import RunContext
from dbtorch.service.wiring.sql_steps import sql_steps

if TYPE_CHECKING:
    from dbtorch.ports.engine import Engine
    from dbtorch.ports.loop import Emit


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The engines of a project for one occasion; relative paths in ``args`` count from ``cwd``."""

    project: Project
    args: tuple[str, ...]  # options of `dbt build`
    files: RunFiles
    run_context: RunContext
    cwd: Path
    grace: float = GRACE
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    hide: Scrubber | None = None  # knows the secrets of a run; by default those of `environ`
    lingers: bool = False  # answers what there is in the warehouse after the run, too
    standby: str = ""  # what a warm process has told of a worker at hand

    def chosen(self, emit: Emit, choice: Choice | None = None) -> Engine:
        """The ``choice``, by default the one that dbtorch.yml, or what is installed, asks for."""
        choice = choice or choose_engine(self.project)
        if choice.type is EngineType.SESSION:
            return self.session(emit)
        return self.process(choice.executable, emit)

    def session(self, emit: Emit) -> Engine:
        """The session engine."""
        from dbtorch.adapters.dbt.session.engine import SessionEngine
        from dbtorch.adapters.dbt.session.open_request import SessionRequest

        args, ours = self._args(), ["--no-use-colors"]
        if "--log-level-file" not in args and "DBT_LOG_LEVEL_FILE" not in self.environ:
            ours += ["--log-level-file", "none"]  # every attempt has a log of its own instead
        if not {"--debug", "--log-level"} & set(self.args):
            ours += ["--log-level", "warn"]  # and what its console would say of a node is there too
        request = SessionRequest(
            python=self.project.python,
            args=args,
            ours=tuple(ours),
            asked=self.args,
            cwd=self.cwd,
            environ=self._environ(),
            log_path=self.files.log,
            console=self.files.dbt_log,
            scratch=self.files.root,
            sql=sql_steps(self.project, self.run_context, self.environ),
            run=self.run_context.run,
            failure_classes=self.project.config.failure_classes,
            hide=self.hide or Scrubber(secrets_of(self.environ)),
            grace=self.grace,
            run_vars=self._run_vars(),
            patches=self.project.config.engine.patches,
            lingers=self.lingers,
            standby=self.standby,
        )
        return SessionEngine(request, emit)

    def _run_vars(self) -> tuple[str, ...]:
        """Variables of the pipeline that say what a run is for, and change with it."""
        pipeline = self.project.config.pipelines.get(self.run_context.pipeline)
        said = pipeline.vars if pipeline is not None else {}
        return tuple(
            name for name, value in said.items() if "run." in str(value) or "params." in str(value)
        )

    def process(self, executable: str, emit: Emit) -> Engine:
        """The process engine."""
        from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
        from dbtorch.adapters.dbt.process.engine import ProcessEngine, ProcessRequest

        request = ProcessRequest(
            entry=Launcher.of(executable, patches=self.project.config.engine.patches),
            args=self._args(),
            asked=self.args,
            project_dir=self.project.dir,
            cwd=self.cwd,
            environ=self._environ(),
            log_path=self.files.log,
            console=self.files.dbt_log,
            scratch=self.files.root,
            sql=sql_steps(self.project, self.run_context, self.environ),
            run=self.run_context.run,
            failure_classes=self.project.config.failure_classes,
            hide=self.hide or Scrubber(secrets_of(self.environ)),
            grace=self.grace,
            batches=self.project.config.engine.batches,
        )
        return ProcessEngine(request, emit)

    def _environ(self) -> dict[str, str]:
        """What dbt finds in its environment: ours, which run it is part of, and when that began."""
        context = self.run_context
        began = context.now.isoformat(timespec="microseconds")
        end = {} if context.goes_on else {WINDOW_END: context.interval.end.isoformat()}
        outer = {name: text for name, text in self.environ.items() if name != WINDOW_END}
        return {STARTED: began, **outer, RUN: context.run_id, **end}

    def _args(self) -> tuple[str, ...]:
        """Options of `dbt build` with where the project and its profiles are.

        Raises `UsageError` for what dbt would refuse.
        """
        args = ["--project-dir", str(self.project.dir), *self.args]
        args += profiles_args(self.project, args, self.environ, self.cwd)
        files = profiles_files(self.project, args, self.environ, self.cwd)
        refuse(args, self.environ, files)
        return tuple(args)


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine that was chosen; never `auto`."""

    type: EngineType
    why: str
    dbt: UsedDbt
    executable: str = ""  # of the process engine


def choose_engine(project: Project) -> Choice:
    """What dbtorch.yml says, or what the project's dbt allows.

    dbt-core 1.x installs a Python script as its command, dbt 2 a binary: that is told apart
    without starting either. Raises `UsageError` where there is no dbt.
    """
    spec, dbt = project.config.engine, project.dbt
    if spec.type is not EngineType.SESSION and spec.executable is not None:
        named = project.command("engine.executable", spec.executable)
        says = "type says so" if spec.type is EngineType.PROCESS else "executable names it"
        used = used_dbt(named, Where.EXECUTABLE, project.dir)
        return Choice(EngineType.PROCESS, f"engine.{says}", used, named)
    if dbt.where is Where.NOWHERE:
        raise missing_dbt(project)
    used = dbt.used(project.dir)
    found = str(dbt.executable or shutil.which("dbt") or "dbt")
    if spec.type is not EngineType.AUTO:
        executable = found if spec.type is EngineType.PROCESS else ""
        return Choice(spec.type, "engine.type says so", used, executable)
    if dbt.is_python:
        return Choice(EngineType.SESSION, "its dbt is dbt-core 1.x", used)
    from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher

    return Choice(EngineType.PROCESS, f"{found}, {Launcher.of(found).kind}", used, found)


def missing_dbt(project: Project) -> MissingDbt:
    """That there is none, where it was looked for, and what to type."""
    from dbtorch.service.project.store_scope import adapters_of

    adapters = adapters_of(project) or ("duckdb",)
    packages = ("dbt-core", *(f"dbt-{name}" for name in adapters))
    return MissingDbt(
        f"no dbt was found: {'; '.join(project.dbt.passed)}",
        f"`{install_command(project.python, packages)}`, or name an interpreter that has it with"
        " engine.python in dbtorch.yml",
    )
