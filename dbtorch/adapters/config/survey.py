"""What ``dbtorch init`` finds in a project, read from its YAML without dbt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

from dbtorch.adapters.config.document import read
from dbtorch.core.errors import ConfigError, Placed

#: Names that can stand in YAML, in a selection and in a file as they are.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,79}")
_PROFILES = (".", "profiles", "../profiles", "config")
_MOST = 2000  # files that are looked at; init is to be quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A project, as far as examples need it."""

    name: str
    profiles_dir: str | None  # where a profiles.yml is, relative to the project
    model_path: str  # the first folder of models
    sources: dict[str, list[str]] = field(default_factory=dict)  # source -> its tables
    exposures: dict[str, str] = field(default_factory=dict)  # name -> type
    groups: dict[str, str] = field(default_factory=dict)  # name -> owner


def survey(project_dir: File) -> Survey:
    """Look at a project. Raises `ConfigError` when its dbt_project.yml cannot be read."""
    project = read(project_dir / "dbt_project.yml", "dbt_project.yml").data
    name = project.get("name") if isinstance(project, dict) else None
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise ConfigError(
            [Placed("gives the project no name, such as `name: shop`", "dbt_project.yml", 1)]
        )
    folders = [path for path in _folders(project) if (project_dir / path).is_dir()]
    found = Survey(
        name=name,
        profiles_dir=_profiles_dir(project_dir),
        model_path=folders[0] if folders else "models",
    )
    for content in _contents(project_dir, folders):
        _note(content, found)
    return found


def _folders(project: dict[str, Any]) -> list[str]:
    said = project.get("model-paths", ["models"])
    words = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    return [word for word in words if isinstance(word, str) and re.fullmatch(r"[\w./-]+", word)]


def _profiles_dir(project_dir: File) -> str | None:
    return next(
        (path for path in _PROFILES if (project_dir / path / "profiles.yml").is_file()), None
    )


def _contents(project_dir: File, folders: list[str]) -> Iterator[dict[str, Any]]:
    """YAML files below the folders; one that cannot be read is dbt's to complain about."""
    paths = [path for folder in folders for path in sorted((project_dir / folder).rglob("*.y*ml"))]
    for path in paths[:_MOST]:
        try:
            content = read(path, path.name).data
        except ConfigError:
            continue
        if isinstance(content, dict):
            yield content


def _note(content: dict[str, Any], found: Survey) -> None:
    for source in _resources(content, "sources"):
        tables = [table["name"] for table in _resources(source, "tables")]
        found.sources.setdefault(source["name"], []).extend(tables)
    for exposure in _resources(content, "exposures"):
        found.exposures[exposure["name"]] = str(exposure.get("type", ""))
    for group in _resources(content, "groups"):
        owner = group.get("owner")
        said = owner.get("name") or owner.get("email") if isinstance(owner, dict) else None
        found.groups[group["name"]] = said if isinstance(said, str) else ""


def _resources(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = content.get(key)
    return [
        one
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and _PLAIN.fullmatch(one["name"])
    ]
