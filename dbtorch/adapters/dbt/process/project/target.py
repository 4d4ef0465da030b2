"""The target that dbt is about to use, read from profiles.yml: no dbt is asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.home import expanded, home
from dbtorch.adapters.template import render
from dbtorch.adapters.template_limits import TemplateError
from dbtorch.core.errors import EngineError
from dbtorch.core.text.limits import threads

#: The one in C reads ten times as fast, where there is one.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One output of a profile."""

    name: str
    type: str
    threads: int
    database: str | None
    schema: str | None
    path: str | None
    exclusive_file: str | None  # database file that only one process may have open
    alone: bool  # one dbt at a time can work with it

    def told(self) -> dict[str, Any]:
        """What is kept of it: no secrets."""
        return {
            "name": self.name,
            "type": self.type,
            "database": self.database,
            "schema": self.schema,
            "path": self.path,
        }


def read_project(project_dir: Path) -> Mapping[str, Any]:
    """dbt_project.yml. Raises `EngineError`."""
    return _mapping(project_dir / "dbt_project.yml")


def read_vars(words: DbtArgs, project: Mapping[str, Any]) -> dict[str, Any]:
    """What `var()` answers in the project: dbt_project.yml, then --vars. Raises `EngineError`."""
    said = project.get("vars")
    general = dict(said) if isinstance(said, Mapping) else {}
    own = general.get(str(project.get("name")))
    return {**general, **(own if isinstance(own, Mapping) else {}), **_given(words)}


def read_target(
    words: DbtArgs, project: Mapping[str, Any], *, cwd: Path, base: Path, env: Mapping[str, str]
) -> Target:
    """The output that dbt chooses, as it chooses it. Raises `EngineError`.

    ``base`` is the folder that relative paths in the profile count from.
    """
    paths = profiles_paths(words, cwd, env)
    path = next((path for path in paths if path.exists()), paths[-1])
    profiles = _mapping(path)
    names = {"env": env, "vars": _given(words)}
    said = words.values.get("--profile") or env.get("DBT_PROFILE") or project.get("profile")
    profile_name = str(_rendered(said, names, path))
    profile = profiles.get(profile_name)
    outputs = profile.get("outputs") if isinstance(profile, Mapping) else None
    if not isinstance(profile, Mapping) or not isinstance(outputs, Mapping):
        raise EngineError(
            f"{path} has no profile {profile_name} with outputs, which the project asks for; add"
            " it there, or name another one with --profile"
        )
    chosen = words.values.get("--target") or env.get("DBT_TARGET") or profile.get("target")
    name = str(_rendered(chosen or "default", names, path))
    if not isinstance(outputs.get(name), Mapping):
        known = ", ".join(map(str, outputs))
        raise EngineError(f"{path}: profile {profile_name} has no target {name}; it has {known}")
    output = {key: _quietly(value, names) for key, value in outputs[name].items()}
    threads = words.values.get("--threads") or env.get("DBT_THREADS") or output.get("threads")
    type, file = str(output.get("type") or ""), output.get("path")
    return Target(
        name=name,
        type=type,
        threads=_number(threads, path),
        database=_text(
            output.get("database")
            or output.get("dbname")
            or output.get("project")
            or _duckdb_name(type, file)
        ),
        schema=_text(output.get("schema") or output.get("dataset")),
        path=_text(file),
        exclusive_file=_database_file(type, file, base),
        alone=_is_alone(type, file),
    )


def profiles_paths(words: DbtArgs, cwd: Path, env: Mapping[str, str]) -> tuple[Path, ...]:
    """Where dbt looks, in order: --profiles-dir or DBT_PROFILES_DIR, the current folder, ~/.dbt."""
    folder = words.values.get("--profiles-dir") or env.get("DBT_PROFILES_DIR")
    if folder:
        return (cwd / expanded(folder) / "profiles.yml",)
    return (cwd / "profiles.yml", home() / ".dbt" / "profiles.yml")


def _duckdb_name(type: str, path: Any) -> str | None:
    """What DuckDB calls the database in a file: the file's name up to its first dot."""
    if type != "duckdb" or not isinstance(path, str):
        return None
    if path.startswith(":memory:"):
        return "memory"
    name = Path(path.partition("?")[0].removeprefix("md:").removeprefix("motherduck:")).name
    return name.lstrip(".").split(".")[0] or "my_db"


def _database_file(type: str, path: Any, base: Path) -> str | None:
    if type != "duckdb" or not isinstance(path, str):
        return None
    if path.startswith((":memory:", "md:", "motherduck:")) or "://" in path:
        return None
    return str(Path(base, path).resolve())


def _is_alone(type: str, path: Any) -> bool:
    """Whether it is a file that one process at a time writes, or the memory of one process."""
    served = isinstance(path, str) and path.startswith(("md:", "motherduck:"))
    return type == "sqlite" or (type == "duckdb" and not served)


def _given(words: DbtArgs) -> dict[str, Any]:
    text = words.values.get("--vars")
    try:
        found = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise EngineError(
            f"--vars cannot be read as YAML: {' '.join(str(error).split())}"
        ) from error
    return found if isinstance(found, dict) else {}


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 (both are safe)
    except OSError as error:
        raise EngineError(f"{path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise EngineError(f"{path} cannot be read as YAML: {what}") from error
    return found if isinstance(found, Mapping) else {}


def _rendered(text: Any, names: Mapping[str, Any], path: Path) -> Any:
    try:
        return render(text, env=names["env"], vars=names["vars"], run={}, outputs={})
    except TemplateError as error:
        raise EngineError(f"{path}: {error}") from error


def _quietly(text: Any, names: Mapping[str, Any]) -> Any:
    """The value, or None where dbt may know more than we do: a password is not for us to read."""
    try:
        return render(text, env=names["env"], vars=names["vars"], run={}, outputs={})
    except TemplateError:
        return None


def _number(value: Any, path: Path) -> int:
    try:
        return threads(int(value or 1))
    except (TypeError, ValueError, OverflowError):
        raise EngineError(f"{path}: threads is {value!r}; give it a number") from None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
