"""What a step type is: it checks what a user wrote, and turns an attempt into a command."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dbtorch.core.text.nearest import did_you_mean

#: The file every python and http attempt is started with; standard library only.
CHILD = Path(__file__).with_name("child.py")

#: Bytes of JSON that a step may hand on to later steps; more belongs into a table or a file.
MAX_OUTPUT = 64 * 1024


class StepError(Exception):
    """A step was declared wrongly or cannot be started; the text is one clear sentence."""


class Render(Protocol):
    """Renders the templates in a value; with ``native`` a lone expression keeps its type."""

    def __call__(self, template: Any, *, native: bool = False) -> Any:
        """Raises `TemplateError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt, as a step type is told about it."""

    context: Mapping[str, Any]  # what the step is given, JSON: see docs/steps.md
    python: str  # the project's interpreter
    render: Render


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to execute for one attempt."""

    argv: tuple[str, ...]
    stdin: str | None = None  # nothing of it is written to a file, so secrets may be in it
    env: Mapping[str, str] = field(default_factory=dict)  # besides the step's own
    secrets: tuple[str, ...] = ()  # values in it that nobody may be shown
    result: bool = False  # it writes an outcome to DBTORCH_RESULT, and without one it has failed


class StepType(Protocol):
    """A kind of step. Modules and objects with these both do.

    One that never opens the project's database file itself, as it only calls an API, says so with
    ``opens_database = False``. Without it a step takes all of dbt's threads where that file can be
    open in one process only (DuckDB). A step's own ``opens_database`` wins.

    One that executes a file of the project may have a function ``code(action, project_dir)`` too,
    which answers the paths where that file may be: a step whose file changed is another one.
    """

    opens_database: bool  # may be left out, which says True

    def check(self, action: Any) -> None:
        """Told the action before anything starts; raises `StepError` saying what is wrong."""

    def command(self, action: Any, call: Call) -> Command:
        """Told the action, templates unrendered, and the attempt; answers what to execute."""


def known_keys(action: Mapping[str, Any], known: Collection[str], *, what: str) -> None:
    """Raise `StepError` for a key that nobody reads."""
    for key in action:
        if key not in known:
            hint = did_you_mean(str(key), known, quote="'") or f"; known are {', '.join(known)}"
            raise StepError(f"{what} has no key {key!r}{hint}")


def one_line(text: str, *, limit: int = 500) -> str:
    """The text on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
