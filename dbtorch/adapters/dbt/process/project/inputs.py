"""What a project as dbt has read it depends on: files, and environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: Keys of dbt_project.yml that name folders, and the folders that dbt takes without them
#: (https://docs.getdbt.com/reference/dbt_project.yml).
_FOLDERS = {
    "model-paths": ["models"],
    "seed-paths": ["seeds"],
    "snapshot-paths": ["snapshots"],
    "test-paths": ["tests"],
    "analysis-paths": ["analyses"],
    "macro-paths": ["macros"],
    "function-paths": ["functions"],
    "docs-paths": [],
    "asset-paths": [],
}

_FILES = (
    *("dbt_project.yml", "packages.yml", "dependencies.yml", "package-lock.yml"),
    *("selectors.yml", "catalogs.yml", ".dbtignore"),
)

_ENV_VAR = re.compile(rb"""\benv_var\s*\(\s*['"]([^'"]+)['"]""")


def watched(
    project: Mapping[str, Any], project_dir: Path, profiles: Iterable[Path]
) -> tuple[str, ...]:
    """Files and folders that dbt has read; while they stay the same, so does what it says.

    ``profiles`` are where it looks for profiles.yml: one of them may be there the next time.
    """
    names = {str(project.get("packages-install-path") or "dbt_packages"), *_FILES}
    for key, default in _FOLDERS.items():
        said = project.get(key)
        names |= {str(name) for name in (said if isinstance(said, Sequence) else default)}
    found = {project_dir / name for name in names} | {*profiles}
    return tuple(sorted(str(path.resolve()) for path in found))


def env_vars(watched: Sequence[str]) -> tuple[str, ...]:
    """Names of the environment variables that files ask for by a name that is written there."""
    found: set[str] = set()
    for path in _texts(watched):
        try:
            text = path.read_bytes()
        except OSError:
            continue
        found |= {name.decode(errors="replace") for name in _ENV_VAR.findall(text)}
    return tuple(sorted(found))


def _texts(watched: Sequence[str]) -> Iterator[Path]:
    """Files that may hold Jinja."""
    for name in watched:
        path = Path(name)
        if path.is_file():
            yield path
        for folder, _, files in os.walk(path):
            yield from (
                Path(folder, file) for file in files if file.endswith((".sql", ".yml", ".yaml"))
            )
