"""The dbt project a command is about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from dbtorch.adapters.dbt.installation import Installation, find_installation
from dbtorch.adapters.home import expanded
from dbtorch.core.config import Config
from dbtorch.core.errors import ProjectError

#: What engine.python says where nobody names an interpreter.
AUTO = "auto"

#: Levels of dbt_project.yml; reading more of them takes libyaml minutes.
_DEEPEST = 100


@dataclass(frozen=True, kw_only=True)
class Project:
    """A dbt project folder with what dbtorch needs to know before dbt has read it."""

    dir: Path
    name: str
    config: Config
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, compare=False)

    @cached_property
    def dbt(self) -> Installation:
        """The dbt that is the project's."""
        named = self.config.engine.python
        if named is None or named == AUTO:
            return find_installation(None, self.dir, self.environ)
        full = self.command("engine.python", named)
        return find_installation(full, self.dir, self.environ)

    def command(self, key: str, name: str) -> str:
        """A program that ``key`` of dbtorch.yml names: one on the path, or a file of the project.

        Raises `ProjectError` for a file of the project that is named as if it were on the path.
        """
        path = expanded(name)
        if len(path.parts) > 1 or name.startswith("./"):
            return str(self.dir / path)
        on_path = shutil.which(name, path=self.environ.get("PATH") or os.defpath)
        if on_path is None and (self.dir / name).is_file():
            raise ProjectError(
                f"dbtorch.yml: {key}: {name} is not on the path; write ./{name} for the file in the"
                " project's folder"
            )
        return name

    @property
    def python(self) -> str:
        """The interpreter that has the project's Python code, and dbt where that is in Python."""
        return self.dbt.python


def open_project(project_dir: str | None, environ: Mapping[str, str] = os.environ) -> Project:
    """The project in a folder, the current one by default. Raises `ProjectError`, `ConfigError`."""
    from dbtorch.adapters.config.loading import load

    folder = find_project_dir(project_dir, environ)
    config = load(folder, environ=environ)
    project = Project(dir=folder, name=name_of(folder), config=config, environ=environ)
    config = _with_declared_steps(project) if project.config.step_modules else project.config
    return replace(project, config=_with_checksums(config, folder))


def find_project_dir(project_dir: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of a project, for commands that read nothing else of it. Raises `ProjectError`."""
    named = project_dir or environ.get("DBT_PROJECT_DIR")
    folder = Path(named or ".").resolve()
    if not named:  # as dbt does, from a folder of models, say
        found = (one for one in (folder, *folder.parents) if (one / "dbt_project.yml").is_file())
        folder = next(found, folder)
    if not (folder / "dbt_project.yml").is_file():
        above = "" if named else ", and no folder above it"
        raise ProjectError(
            f"{folder} is no dbt project: it has no dbt_project.yml{above}; go to one, or name it"
        )
    return folder


def configured_store(
    option: str | None, project_dir: Path, environ: Mapping[str, str] = os.environ
) -> str | None:
    """URL of the history: the option, the environment, or dbtorch.yml if it says one."""
    url = option or environ.get("DBTORCH_DATABASE_URL")
    if url or not _says(project_dir, b"database_url"):
        return url or None
    from dbtorch.adapters.config.loading import load

    return load(project_dir, environ=environ).database_url


def configured_artifacts(
    option: str | None, project_dir: Path, environ: Mapping[str, str] = os.environ
) -> str | None:
    """URL of what keeps files of runs, in the same way; most projects have none."""
    url = option or environ.get("DBTORCH_ARTIFACTS_URL")
    if url or not _says(project_dir, b"artifacts_url"):
        return url or None
    from dbtorch.adapters.config.loading import load

    return load(project_dir, environ=environ).artifacts_url


def _says(project_dir: Path, key: bytes) -> bool:
    """Whether dbtorch.yml may have a key: reading all of it takes longer than the history does."""
    files = [project_dir / name for name in ("dbtorch.yml", "dbtorch.yaml")]
    return any(key in path.read_bytes() for path in files if path.is_file())


def _with_declared_steps(project: Project) -> Config:
    """The configuration with the steps that ``step_modules`` declare in Python."""
    from dbtorch.adapters.steps.discovery import discover

    config = project.config
    steps = dict(config.steps)
    for spec in discover(
        config.step_modules,
        python=project.python,
        project_dir=project.dir,
        pools=config.pools,
        environ=project.environ,
    ):
        if spec.name in steps:
            raise ProjectError(
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


def name_of(folder: Path) -> str:
    """Dbt's name of the project in a folder. Raises `ProjectError`."""
    import yaml

    path = folder / "dbt_project.yml"
    try:
        name = _top_level(path.read_bytes(), "name")
    except (yaml.YAMLError, UnicodeDecodeError, OSError, ValueError) as error:
        from dbtorch.adapters.config.yaml_errors import meant

        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f":{mark.line + 1}"
        what = meant(error)
        raise ProjectError(f"{path}{where}: cannot be read as YAML: {what}") from error
    if not name:
        raise ProjectError(f"{path}: the project has no name; add a line such as 'name: shop'")
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
