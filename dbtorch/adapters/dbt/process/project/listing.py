"""`dbt list`: what a selection comes to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.executable import Answer, Executable
from dbtorch.adapters.dbt.process.project.target import read_project
from dbtorch.core.errors import EngineError
from dbtorch.core.model.dbt_warnings import DbtWarning


class Listing:
    """`dbt list` of what a run selects, under way: it parses the project and writes a manifest."""

    def __init__(
        self,
        executable: Executable,
        words: DbtArgs,
        project_dir: Path,
        *,
        apart: Path | None = None,
    ) -> None:
        """Start it; ``apart`` is where it writes, if that is not where dbt would.

        Raises `EngineError`.
        """
        self.project = read_project(project_dir)
        self.apart = apart
        self.warnings: tuple[DbtWarning, ...] = ()  # of the project, once dbt has answered
        if apart is not None:
            words = words.with_values({"--target-path": str(apart)})
        self._answer = executable.begin_to_ask(list_words(words.listing(), quiet=False))

    def ids(self) -> set[str]:
        """What is selected, once dbt has said so. Raises `EngineError` with dbt's own words."""
        answer = self._answer()
        found = (line.warning() for line in answer.lines)
        self.warnings = tuple(warning for warning in found if warning is not None)
        return ids_of(answer)


def list_words(words: Sequence[str], *, quiet: bool = True) -> tuple[str, ...]:
    """A command that lists the unique ids of what ``words`` choose.

    One that is ``quiet`` gives no warnings.
    """
    end = ("--quiet",) if quiet else ()
    return ("list", *words, "--output", "json", "--output-keys", "unique_id", *end)


def ids_of(answer: Answer) -> set[str]:
    """What such a command listed. Raises `EngineError` with dbt's own words."""
    found = {id for line in answer.lines if (id := _listed(line.text)) is not None}
    if answer.code < 0 or (answer.code != 0 and not found):  # half a list is none
        raise EngineError(answer.errors(), answer.failure_class)
    return found


def _listed(text: str) -> str | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    id = found.get("unique_id") if isinstance(found, dict) else None
    return id if isinstance(id, str) else None


def flag(project: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """A flag that dbt_project.yml sets."""
    flags = project.get("flags")
    return bool(flags.get(name, default)) if isinstance(flags, Mapping) else default
