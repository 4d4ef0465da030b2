"""Which engine executes dbt's nodes, and why."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dbtorch.cli.project import Project
from dbtorch.core.config import EngineType


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
    if beside is not None and not _is_script(beside):
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


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True
