"""`dbt list`: what a selection comes to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.process.executable import Answer, Executable
from dbtorch.adapters.dbt.process.target import read_project
from dbtorch.adapters.dbt.process.words import Words
from dbtorch.ports import EngineError


class Listing:
    """`dbt list` of what a run selects, under way: it parses the project and writes a manifest."""

    def __init__(
        self, executable: Executable, words: Words, project_dir: Path, *, apart: Path | None = None
    ) -> None:
        """Start it; ``apart`` is where it writes, if that is not where dbt would.

        Raises `EngineError`.
        """
        self.project = read_project(project_dir)
        self.apart = apart
        if apart is not None:
            words = words.with_values({"--target-path": str(apart)})
        self._answer = executable.begin_to_ask(list_words(words.listing()))

    def ids(self) -> set[str]:
        """What is selected, once dbt has said so. Raises `EngineError` with dbt's own words."""
        return ids_of(self._answer())


def list_words(words: Sequence[str]) -> tuple[str, ...]:
    """A command that lists the unique ids of what ``words`` choose."""
    return ("list", *words, "--output", "json", "--output-keys", "unique_id", "--quiet")


def ids_of(answer: Answer) -> set[str]:
    """What such a command listed. Raises `EngineError` with dbt's own words."""
    found = {id for line in answer.lines if (id := _listed(line.text)) is not None}
    if answer.code != 0 and not found:
        raise EngineError(answer.errors())
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
