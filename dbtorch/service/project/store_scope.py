"""Whose history a command is about: the project, and what its targets are here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.config import Config
from dbtorch.core.errors import ConfigError
from dbtorch.core.model.identity import Identity
from dbtorch.service.project.profiles import profiles_files
from dbtorch.service.project.project import Project


def identity_of(
    project: Project,
    url: str | None,
    words: Sequence[str] = (),
    *,
    environ: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
) -> Identity:
    """The project in the history at ``url``; ``words`` are options for dbt, in pairs."""
    from dbtorch.adapters.dbt.profile_targets import read_places
    from dbtorch.service.project.dbt_options import values_of

    given = {name: values[-1] for name, values in values_of(words).items() if values}
    places, target = read_places(
        profiles_files(project, words, environ, cwd or Path.cwd()),
        given.get("--profile") or environ.get("DBT_PROFILE") or _profile(project),
        environ,
        project.dir,  # wherever somebody looks from
    )
    return Identity(
        project_id="" if is_own(url, project.dir) else id_of(project, environ),
        name=project.name,
        places=places,
        target=given.get("--target") or target,
    )


def adapters_of(project: Project) -> tuple[str, ...]:
    """The adapters that the targets of the project ask for, as far as files say it."""
    from dbtorch.adapters.dbt.profile_targets import read_adapters

    files = profiles_files(project, (), project.environ, Path.cwd())
    return read_adapters(files, _profile(project), project.environ)


def id_of(project: Project, environ: Mapping[str, str] = os.environ) -> str:
    """What the project is called wherever it runs."""
    from dbtorch.adapters.identity import project_id

    return project_id(project.dir, project.name, project.config.project_id, environ)


def reader_of(
    folder: Path,
    url: str | None,
    environ: Mapping[str, str] = os.environ,
    *,
    places: bool = False,
) -> Identity:
    """The same for commands that only read, of which most have a history of their own.

    ``places``: also what targets are here, for who asks what is usual there, or how it stands.
    """
    own = is_own(url, folder)
    if own and not places:
        return Identity()
    from dbtorch.adapters.config.loading import load
    from dbtorch.service.project.project import name_of

    try:
        config: Config = load(folder, environ=environ)
    except ConfigError:
        if own:
            return Identity()  # a run can be looked at, whatever is being written there
        raise
    project = Project(dir=folder, name=name_of(folder), config=config, environ=environ)
    return identity_of(project, url, environ=environ)


def is_own(url: str | None, folder: Path) -> bool:
    """Whether a history is the project's own file, which no other project has."""
    if not url:
        return True
    own = state_dir(folder) / "dbtorch.db"
    path = url.removeprefix("sqlite:///")
    return path != url and (folder / path).resolve() == own.resolve()


def _profile(project: Project) -> str:
    from dbtorch.service.project.project import top_level

    return top_level(project.dir, "profile")
