"""The dbt project a command is about."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from dbtorch.cli.errors import UsageError
from dbtorch.core.config import Config
from dbtorch.core.history import LEASE_LIFETIME

#: Seconds, a day: after a crash on another machine a run waits this long to be gone on with.
_LONGEST_LEASE = 86_400

#: Levels of dbt_project.yml; reading more of them takes libyaml minutes.
_DEEPEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A dbt project folder with what dbtorch needs to know before dbt has read it."""

    dir: Path
    name: str
    config: Config

    @property
    def python(self) -> str:
        """The interpreter that has dbt."""
        found = self.config.engine.python
        if found is None:
            return sys.executable
        path = Path(found).expanduser()
        return str(self.dir / path) if len(path.parts) > 1 else found

    def profiles_dir(self, environ: Mapping[str, str], cwd: Path) -> Path | None:
        """Where profiles.yml is, when dbt would not find it by itself.

        dbt looks at --profiles-dir, DBT_PROFILES_DIR, the current folder and ~/.dbt, in this
        order; dbtorch.yml and the project's own folder come between the second and the third.
        Raises `UsageError` when dbtorch.yml names a folder that is not there.
        """
        if "DBT_PROFILES_DIR" in environ:
            return None
        if self.config.engine.profiles_dir is not None:
            folder = (self.dir / self.config.engine.profiles_dir).resolve()
            if not folder.is_dir():
                raise UsageError(
                    f"dbtorch.yml: engine.profiles_dir: there is no folder {folder}; name the one"
                    " that holds profiles.yml, relative to the project"
                )
            return folder
        here = (cwd / "profiles.yml").exists()
        return self.dir if not here and (self.dir / "profiles.yml").exists() else None


def open_project(project_dir: str | None, environ: Mapping[str, str] = os.environ) -> Project:
    """The project in a folder, the current one by default. Raises `UsageError`, `ConfigError`."""
    from dbtorch.adapters.config import load

    folder = find_project_dir(project_dir, environ)
    project = Project(dir=folder, name=_name(folder), config=load(folder))
    config = _with_declared_steps(project) if project.config.step_modules else project.config
    return replace(project, config=_with_checksums(config, folder))


def find_project_dir(project_dir: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of a project, for commands that read nothing else of it. Raises `UsageError`."""
    folder = Path(project_dir or environ.get("DBT_PROJECT_DIR") or ".").resolve()
    if not (folder / "dbt_project.yml").is_file():
        raise UsageError(
            f"{folder} is no dbt project: it has no dbt_project.yml; "
            "go to one or name it with --project-dir"
        )
    return folder


def configured_store(option: str | None, project_dir: Path) -> str | None:
    """URL of the history: the option, the environment, or dbtorch.yml if it says one."""
    url = option or os.environ.get("DBTORCH_DATABASE_URL")
    if url:
        return url
    files = [project_dir / name for name in ("dbtorch.yml", "dbtorch.yaml")]
    if not any(b"database_url" in path.read_bytes() for path in files if path.is_file()):
        return None  # reading the whole file takes longer than reading the history
    from dbtorch.adapters.config import load

    return load(project_dir).database_url


def lease_lifetime(environ: Mapping[str, str] = os.environ) -> timedelta:
    """How long a supervisor that is not heard of still holds its pipeline. Raises `UsageError`."""
    text = environ.get("DBTORCH_LEASE_LIFETIME")
    if not text:
        return LEASE_LIFETIME
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= _LONGEST_LEASE:
        raise UsageError(
            f"DBTORCH_LEASE_LIFETIME is {text!r}; give it a number of seconds from 1 to"
            f" {_LONGEST_LEASE}, such as {LEASE_LIFETIME.seconds}"
        )
    return timedelta(seconds=seconds)


def _with_declared_steps(project: Project) -> Config:
    """The configuration with the steps that ``step_modules`` declare in Python."""
    from dbtorch.adapters.steps.discovery import discover

    config = project.config
    steps = dict(config.steps)
    for spec in discover(
        config.step_modules, python=project.python, project_dir=project.dir, pools=config.pools
    ):
        if spec.name in steps:
            raise UsageError(
                f"{spec.origin}: step {spec.name} is declared in {steps[spec.name].origin} too; "
                "give one of them another name"
            )
        steps[spec.name] = spec
    return replace(config, steps=steps)


def _with_checksums(config: Config, folder: Path) -> Config:
    if not config.steps:
        return config
    from dbtorch.adapters.steps.checksum import with_checksums

    return with_checksums(config, folder)


def _name(folder: Path) -> str:
    import yaml

    path = folder / "dbt_project.yml"
    try:
        name = _top_level(path.read_bytes(), "name")
    except (yaml.YAMLError, UnicodeDecodeError, OSError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f":{mark.line + 1}"
        what = getattr(error, "problem", None) or error
        raise UsageError(f"{path}{where}: cannot be read as YAML: {what}") from error
    if not name:
        raise UsageError(f"{path}: the project has no name; add a line such as 'name: shop'")
    return name


def top_level(project_dir: Path, wanted: str) -> str:
    """The text under a key of dbt_project.yml, which was read before; or nothing."""
    return _top_level((project_dir / "dbt_project.yml").read_bytes(), wanted)


def _top_level(content: bytes, wanted: str) -> str:
    """The text under a key of a YAML mapping, or nothing.

    Read event by event, so that an alias that stands for billions of values stands for itself.
    """
    import yaml

    depth, found = 0, ""
    key: str | None = None
    for event in yaml.parse(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth == 1 and isinstance(event, yaml.NodeEvent):
            text = str(event.value) if isinstance(event, yaml.ScalarEvent) else ""
            found = text if key == wanted else found
            key = text if key is None else None
        depth += isinstance(event, yaml.CollectionStartEvent)
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    return found
