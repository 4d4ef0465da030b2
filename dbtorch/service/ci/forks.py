"""Pull requests from forks, whose jobs are given no secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dbtorch.core.ci.place import fork_of
from dbtorch.core.errors import UsageError

#: A variable that a profile reads; one with a default may be unset.
_VARIABLE = re.compile(r"env_var\(\s*(['\"])(?P<name>\w+)\1\s*(?P<default>,)?")


class NoSecrets(UsageError):
    """The job is of a pull request from a fork, and what it needs is kept from it."""

    def __init__(self, fork: str, lacks: str) -> None:
        super().__init__(
            f"this pull request comes from the fork {fork}, whose jobs are given no secrets:"
            f" {lacks}; nothing was built. Let somebody who may push the branch to this repository,"
            " or give --skip-forks where that is no failure"
        )


def fork(environ: Mapping[str, str]) -> str:
    """The fork that this job's pull request comes from; empty where it comes from none."""
    event: Any = None
    if path := environ.get("GITHUB_EVENT_PATH"):
        try:
            event = json.loads(Path(path).read_bytes())
        except (OSError, ValueError):
            event = None
    return fork_of(environ, event if isinstance(event, dict) else {})


def refuse_without_secrets(fork: str, output: Any, target: str, environ: Mapping[str, str]) -> None:
    """Raise `NoSecrets` where a target reads a variable that a job of a fork does not have.

    ``output`` is what profiles.yml says of it. A secret that is kept back is unset or empty.
    """
    missing = sorted({name for name in _read(output) if not environ.get(name)})
    if fork and missing:
        lacks = f"{', '.join(missing)}, which target {target} of profiles.yml reads, is not set"
        raise NoSecrets(fork, lacks)


def _read(said: Any) -> Iterator[str]:
    """Variables without a default in all that is said."""
    if isinstance(said, str):
        for found in _VARIABLE.finditer(said):
            if not found["default"]:
                yield found["name"]
    elif isinstance(said, dict | list):
        for one in said.values() if isinstance(said, dict) else said:
            yield from _read(one)
