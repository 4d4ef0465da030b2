"""Where profiles.yml is: one rule for what dbt is told, and for what is read of it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from dbtorch.adapters.home import expanded, home
from dbtorch.core.errors import ProjectError
from dbtorch.service.project.project import Project


def profiles_files(
    project: Project, words: Sequence[str], environ: Mapping[str, str], cwd: Path
) -> tuple[Path, ...]:
    """Where profiles.yml may be; the first that is there counts.

    ``words`` are options for dbt. By itself dbt looks at --profiles-dir, DBT_PROFILES_DIR, the
    current folder and ~/.dbt, in this order; dbtorch.yml and the project's own folder come behind
    the second and the third.
    """
    named = _named(words, environ)
    if named:
        return (cwd / expanded(named) / "profiles.yml",)
    if project.config.engine.profiles_dir is not None:
        return (_configured(project) / "profiles.yml",)
    return tuple(folder / "profiles.yml" for folder in (cwd, project.dir, home() / ".dbt"))


def profiles_args(
    project: Project, words: Sequence[str], environ: Mapping[str, str], cwd: Path
) -> list[str]:
    """What to say to dbt where it would not find profiles.yml by itself.

    Raises `ProjectError` when dbtorch.yml names a folder that is not there.
    """
    if _named(words, environ):
        return []
    if project.config.engine.profiles_dir is not None:
        folder = _configured(project)
        if not folder.is_dir():
            raise ProjectError(
                f"dbtorch.yml: engine.profiles_dir: there is no folder {folder}; name the one"
                " that holds profiles.yml, relative to the project"
            )
        return ["--profiles-dir", str(folder)]
    files = profiles_files(project, words, environ, cwd)
    found = next((file.parent for file in files if file.is_file()), cwd)
    return ["--profiles-dir", str(found)] if found == project.dir != cwd else []


def _named(words: Sequence[str], environ: Mapping[str, str]) -> str:
    return dict(pairwise(words)).get("--profiles-dir") or environ.get("DBT_PROFILES_DIR", "")


def _configured(project: Project) -> Path:
    return (project.dir / (project.config.engine.profiles_dir or "")).resolve()
