"""What a warm process has to know: which interpreter, which project, which environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbtorch.core.config import EngineType
from dbtorch.core.errors import DbtorchError
from dbtorch.service.project.profiles import profiles_args
from dbtorch.service.project.project import Project
from dbtorch.service.wiring.engines import choose_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmRequest:
    """How to get warm for the runs of a project."""

    python: str  # interpreter that has dbt
    args: tuple[str, ...]  # options of dbt that say where the project is
    environ: Mapping[str, str] = field(repr=False)


def warm_request(project: Project, environ: Mapping[str, str], cwd: Path) -> WarmRequest | str:
    """What there is to be warm for; or why there is nothing."""
    try:
        choice = choose_engine(project)
        if choice.type is not EngineType.SESSION:
            return f"the {choice.type} engine is used ({choice.why})"
        args = ["--project-dir", str(project.dir)]
        args += profiles_args(project, args, environ, cwd)
    except DbtorchError as error:
        return str(error)
    return WarmRequest(python=project.python, args=tuple(args), environ=environ)
