"""A private copy of a dbt project with a database of its own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import duckdb
import psycopg
import yaml
from psycopg.conninfo import conninfo_to_dict

from tests.postgres import with_database

#: Of the fixture projects; each has its own profiles.yml.
PROJECTS = Path(__file__).parents[1] / "projects"

#: Left behind in the original by somebody who ran it by hand.
_LEFTOVERS = shutil.ignore_patterns(
    "target", "logs", "exports", ".dbtorch", "__pycache__", "*.duckdb*", "dbt_packages", ".user.yml"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One side of a comparison."""

    path: Path
    profiles: Path
    target_path: Path
    env: Mapping[str, str]
    duckdb_file: Path | None = None
    postgres: str | None = None  # URL of its own database

    def environ(self) -> dict[str, str]:
        """What its processes see: nothing that the caller set for dbt or dbtorch."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DBT_", "DBTORCH_"))}
        quiet = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1"}
        # dbt keeps selections in sets of text: the same order on both sides
        return {**kept, **quiet, "PYTHONHASHSEED": "0", **self.env}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make a copy; both sides of a comparison follow the same one."""

    source: Path | Callable[[Path], None]  # a folder, or what writes one
    profiles: Path | None = None  # copied beside the project; None: they are inside
    env: Mapping[str, str] = field(default_factory=dict)  # {project} is the copy's folder
    edits: Sequence[tuple[str, str, str]] = ()  # file, text in it, text instead
    target_path: str = "target"
    duckdb_file: str = "parity.duckdb"
    on_postgres: bool = False


@contextmanager
def copied(recipe: Recipe, to: Path, *, server: str | None = None) -> Iterator[Project]:
    """A copy in the new folder ``to``; its Postgres database is dropped afterwards."""
    if callable(recipe.source):
        to.mkdir(parents=True)
        recipe.source(to)
    else:
        shutil.copytree(recipe.source, to, ignore=_LEFTOVERS)
    profiles = to
    if recipe.profiles:
        profiles = shutil.copytree(recipe.profiles, to.parent / recipe.profiles.name)
    for name, old, new in recipe.edits:
        _edit(to / name, old, new)
    _install_local_packages(to)
    with _database(recipe, to, server) as (env, file, url):
        project = Project(
            path=to,
            profiles=profiles,
            target_path=to / recipe.target_path,
            env={**env, **{k: v.replace("{project}", str(to)) for k, v in recipe.env.items()}},
            duckdb_file=file,
            postgres=url,
        )
        _set_up(project)
        yield project


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if old not in text:
        raise ValueError(f"{file} does not contain {old!r}")
    file.write_text(text.replace(old, new))


def _install_local_packages(project: Path) -> None:
    """Link local packages where `dbt deps` would; that spares a start of dbt."""
    if not (project / "packages.yml").exists():
        return
    config = yaml.safe_load((project / "dbt_project.yml").read_text())
    folder = project / config.get("packages-install-path", "dbt_packages")
    folder.mkdir()
    for package in yaml.safe_load((project / "packages.yml").read_text())["packages"]:
        source = project / package["local"]
        name = yaml.safe_load((source / "dbt_project.yml").read_text())["name"]
        (folder / name).symlink_to(source, target_is_directory=True)


@contextmanager
def _database(
    recipe: Recipe, to: Path, server: str | None
) -> Iterator[tuple[dict[str, str], Path | None, str | None]]:
    if not recipe.on_postgres:
        file = to / recipe.duckdb_file
        yield {"PARITY_TARGET": "duckdb", "PARITY_DUCKDB": str(file)}, file, None
        return
    if server is None:
        raise ValueError("a recipe for Postgres needs a server")
    name = f"parity_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        try:
            parts = conninfo_to_dict(server)
            names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
            env = {names[key]: str(value) for key, value in parts.items() if key in names}
            env |= {"PGDATABASE": name, "PARITY_TARGET": "postgres"}
            yield env, None, with_database(server, name)
        finally:
            connection.execute(f"drop database {name} with (force)")


def _set_up(project: Project) -> None:
    """Run the project's setup.sql: what a loader would have put there before dbt starts."""
    script = project.path / "setup.sql"
    if not script.exists():
        return
    statements = [part for part in re.split(r";\s*\n", script.read_text()) if part.strip()]
    if project.postgres:
        with psycopg.connect(project.postgres) as postgres:
            for statement in statements:
                postgres.execute(statement)
    else:
        with duckdb.connect(str(project.duckdb_file)) as file:
            for statement in statements:
                file.execute(statement)
