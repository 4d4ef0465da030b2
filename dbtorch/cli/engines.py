"""Which engine executes dbt's nodes, and why; and the one place that builds it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dbtorch.adapters.dbt.process.entry import Entry, is_script
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.steps.left_behind import RUN
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.project import Project
from dbtorch.cli.sql_steps import sql_steps
from dbtorch.core.config import GRACE, EngineType
from dbtorch.core.events import Attempt
from dbtorch.ports import Emit

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.early import Early
    from dbtorch.adapters.dbt.process.engine import ProcessEngine
    from dbtorch.adapters.dbt.session import SessionEngine

#: Both engines, with what only those have that end with this process.
AnyEngine: TypeAlias = "SessionEngine | ProcessEngine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The engines of a project for one occasion; relative paths in ``args`` count from ``cwd``."""

    project: Project
    args: tuple[str, ...]  # options of `dbt build`
    files: RunFiles
    occasion: Occasion
    cwd: Path
    grace: float = GRACE
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    early: Early | None = None

    def chosen(self, emit: Emit, choice: Choice | None = None) -> AnyEngine:
        """The ``choice``, by default the one that dbtorch.yml, or what is installed, asks for."""
        choice = choice or choose_engine(self.project)
        if choice.type is EngineType.SESSION:
            return self.session(emit)
        return self.process(choice.executable, emit)

    def session(self, emit: Emit) -> SessionEngine:
        """The session engine."""
        from dbtorch.adapters.dbt.request import SessionRequest
        from dbtorch.adapters.dbt.session import SessionEngine

        args = list(self._args())
        if "--log-level-file" not in args and "DBT_LOG_LEVEL_FILE" not in self.environ:
            args += ["--log-level-file", "none"]  # every attempt has a log of its own instead
        if not {"--debug", "--log-level"} & set(self.args):
            args += ["--log-level", "warn"]  # and what its console would say of a node is there too
        request = SessionRequest(
            python=self.project.python,
            args=(*args, "--no-use-colors"),
            cwd=self.cwd,
            environ={**self.environ, RUN: self.occasion.run_id},
            log_path=self._log_path,
            console=self.files.dbt_log,
            scratch=self.files.root,
            sql=sql_steps(self.project, self.occasion, self.environ),
            run=self.occasion.template(),
            failure_classes=self.project.config.failure_classes,
            grace=self.grace,
        )
        return SessionEngine(request, emit)

    def process(self, executable: str, emit: Emit) -> ProcessEngine:
        """The process engine."""
        from dbtorch.adapters.dbt.process.engine import ProcessEngine, ProcessRequest

        request = ProcessRequest(
            entry=Entry.of(executable),
            args=self._args(),
            project_dir=self.project.dir,
            cwd=self.cwd,
            environ={**self.environ, RUN: self.occasion.run_id},
            log_path=self._log_path,
            console=self.files.dbt_log,
            scratch=self.files.root,
            sql=sql_steps(self.project, self.occasion, self.environ),
            run=self.occasion.template(),
            failure_classes=self.project.config.failure_classes,
            grace=self.grace,
            early=self.early,
            batches=self.project.config.engine.batches,
        )
        return ProcessEngine(request, emit)

    def _args(self) -> tuple[str, ...]:
        """Options of `dbt build` with where the project and its profiles are."""
        args = ["--project-dir", str(self.project.dir), *self.args]
        if "--profiles-dir" not in self.args:
            folder = self.project.profiles_dir(self.environ, self.cwd)
            args += [] if folder is None else ["--profiles-dir", str(folder)]
        return tuple(args)

    def _log_path(self, attempt: Attempt) -> Path:
        return self.files.log(attempt.node_id, attempt.number)


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine that was chosen; never `auto`."""

    type: EngineType
    why: str
    executable: str = ""  # of the process engine


def choose_engine(project: Project) -> Choice:
    """What dbtorch.yml says, or what the dbt of the project's environment allows.

    dbt-core 1.x installs a Python script as its command, dbt 2 a binary: that is told apart
    without starting either.
    """
    spec = project.config.engine
    if spec.type is EngineType.SESSION:
        return Choice(EngineType.SESSION, "engine.type says so")
    if spec.executable is not None:
        named = _in(project.dir, spec.executable)
        if spec.type is EngineType.PROCESS:
            return Choice(EngineType.PROCESS, "engine.type says so", named)
        return Choice(EngineType.PROCESS, "engine.executable names it", named)
    beside = _beside(project.python)
    found = str(beside) if beside is not None else shutil.which("dbt") or "dbt"
    if spec.type is EngineType.PROCESS:
        return Choice(EngineType.PROCESS, "engine.type says so", found)
    if beside is not None and not is_script(beside):
        return Choice(EngineType.PROCESS, f"{beside} is no Python script, so dbt 2 or later", found)
    return Choice(EngineType.SESSION, "its dbt is dbt-core 1.x")


def _in(folder: Path, name: str) -> str:
    path = Path(name).expanduser()
    return str(folder / path) if len(path.parts) > 1 else name


def _beside(python: str) -> Path | None:
    """The command `dbt` of an interpreter's environment."""
    found = shutil.which(python)
    path = Path(found or python).parent / "dbt"
    return path if path.is_file() else None
