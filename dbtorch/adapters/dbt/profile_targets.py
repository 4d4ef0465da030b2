"""What the targets of a profile are, as far as profiles.yml says it: no dbt is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dbtorch.adapters.config import environment
from dbtorch.core.errors import Refused

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What adapters call the database and the schema they build in.
_DATABASE = ("database", "dbname", "project", "catalog")
_SCHEMA = ("schema", "dataset")


def read_places(
    files: Iterable[Path], profile: str, environ: Mapping[str, str], base: Path
) -> tuple[dict[str, str], str]:
    """What each target is, and which one dbt takes when it is told none.

    The first of ``files`` that is there counts, and relative paths count from ``base``. Nothing is
    known of what cannot be read: dbt will say why.
    """
    found = _profile(files, environ.get("DBT_PROFILE") or profile, environ)
    outputs = found.get("outputs")
    said = environ.get("DBT_TARGET") or _filled(found.get("target"), environ) or "default"
    if not isinstance(outputs, Mapping):
        return {}, said
    places = {
        str(name): _place(str(name), output, environ, base)
        for name, output in outputs.items()
        if isinstance(output, Mapping)
    }
    return places, said


def read_adapters(
    files: Iterable[Path], profile: str, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """What kinds of warehouse the targets of a profile are, as far as profiles.yml says it."""
    outputs = _profile(files, environ.get("DBT_PROFILE") or profile, environ).get("outputs")
    found = outputs.values() if isinstance(outputs, Mapping) else ()
    kinds = {_filled(one.get("type"), environ) for one in found if isinstance(one, Mapping)}
    return tuple(sorted(kind for kind in kinds if kind.isidentifier()))


def _place(name: str, output: Mapping[str, Any], environ: Mapping[str, str], base: Path) -> str:
    """The target, its kind, and where it builds, in words that a person can read."""
    said = {key: _filled(output.get(key), environ) for key in (*_DATABASE, *_SCHEMA, "path")}
    database = next((said[key] for key in _DATABASE if said[key]), "")
    schema = next((said[key] for key in _SCHEMA if said[key]), "")
    path = said["path"]
    if path and ":" not in path:
        path = str((base / path).resolve())
    where = " ".join(filter(None, (path, ".".join(filter(None, (database, schema))))))
    kind = _filled(output.get("type"), environ)
    told = " ".join(filter(None, (kind, where)))
    return f"{name} ({told})" if told else name


def _profile(files: Iterable[Path], name: str, environ: Mapping[str, str]) -> Mapping[str, Any]:
    path = next((path for path in files if path.is_file()), None)
    if path is None:
        return {}
    try:
        found = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 (both are safe)
    except (OSError, yaml.YAMLError, ValueError):
        return {}
    profile = found.get(_filled(name, environ)) if isinstance(found, Mapping) else None
    return profile if isinstance(profile, Mapping) else {}


def _filled(value: Any, environ: Mapping[str, str]) -> str:
    """The text with its variables, as it is written where more than they are in it."""
    text = "" if value is None else str(value)
    if "DBT_ENV_SECRET" in text:
        return text
    try:
        return environment.render(text, environ)
    except Refused:
        return text
