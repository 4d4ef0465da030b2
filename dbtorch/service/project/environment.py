"""Variables of the environment that dbt reads as options: a retry has those the run began with."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from dbtorch.core.history.records import RunRecord

#: Options of dbt that shape what a run comes to, by the names they have in the environment. Not
#: every ``DBT_…``: a password may be called so, too.
_SHAPING = (
    "ARTIFACT_STATE_PATH",
    "DEFER",
    "DEFER_STATE",
    "DEFER_TO_STATE",
    "EMPTY",
    "EVENT_TIME_END",
    "EVENT_TIME_START",
    "EXCLUDE_RESOURCE_TYPES",
    "EXPORT_SAVED_QUERIES",
    "FAVOR_STATE",
    "FAVOR_STATE_MODE",
    "FULL_REFRESH",
    "INCLUDE_SAVED_QUERY",
    "INDIRECT_SELECTION",
    "INTROSPECT",
    "PROFILE",
    "RESOURCE_TYPES",
    "RUN_STARTED_AT",
    "SAMPLE",
    "STATE",
    "STATIC_ANALYSIS",
    "STORE_FAILURES",
    "TARGET",
    "USE_FAST_TEST_EDGES",
    "WARN_ERROR",
    "WARN_ERROR_OPTIONS",
)

#: Folders, which another machine may have elsewhere: what is said now wins.
_PLACES = ("DBT_PROFILES_DIR", "DBT_TARGET_PATH")

#: What variables of dbt begin with; newer versions of dbt-core read the second form, too.
PREFIXES = ("DBT_", "DBT_ENGINE_")

NAMES = tuple(f"{prefix}{name}" for prefix in PREFIXES for name in _SHAPING)


def shaping(environ: Mapping[str, str]) -> dict[str, str]:
    """What the environment says of a run that begins."""
    return {name: environ[name] for name in (*NAMES, *_PLACES) if name in environ}


#: Flags of dbt_project.yml that shape what a run comes to, and what dbt does without them.
_FLAGS: dict[str, Any] = {
    "indirect_selection": "eager",
    "warn_error": False,
    "warn_error_options": {},
}


def flags_of(project_dir: Path) -> dict[str, Any]:
    """What dbt_project.yml says of a run that begins; dbt says what is wrong with it."""
    content = (project_dir / "dbt_project.yml").read_bytes()
    if b"flags" not in content:
        return {}
    import yaml

    try:
        said = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    flags = said.get("flags") if isinstance(said, dict) else None
    return (
        {name: flags[name] for name in _FLAGS if name in flags} if isinstance(flags, dict) else {}
    )


def kept_flags(record: RunRecord) -> dict[str, Any]:
    """What dbt_project.yml said when a run began."""
    return dict(record.options.get("flags") or {})


def restore_flags(
    environ: MutableMapping[str, str], kept: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Let the environment, which dbt asks first, say what dbt_project.yml said then."""
    for name, default in _FLAGS.items():
        value, variable = kept.get(name, default), f"DBT_{name.upper()}"
        said = variable in environ or f"DBT_ENGINE_{name.upper()}" in environ
        if value != now.get(name, default) and not said:
            environ[variable] = value if isinstance(value, str) else json.dumps(value)


def restore(environ: MutableMapping[str, str], kept: Mapping[str, str]) -> None:
    """Let the environment say of these what it said then."""
    for name in NAMES:
        environ.pop(name, None)
    own = {name: environ[name] for name in _PLACES if name in environ}
    environ.update({**kept, **own})
