"""What a step type is: it checks what a user wrote, and turns an attempt into a command."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
    result: bool = False  # it writes an outcome to DBTORCH_RESULT, and without one it has failed


class StepType(Protocol):
    """A kind of step. Modules and objects with these two functions both do."""

    def check(self, action: Any) -> None:
        """Told the action before anything starts; raises `StepError` saying what is wrong."""

    def command(self, action: Any, call: Call) -> Command:
        """Told the action, templates unrendered, and the attempt; answers what to execute."""


def known_keys(action: Mapping[str, Any], known: Collection[str], *, what: str) -> None:
    """Raise `StepError` for a key that nobody reads."""
    for key in action:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise StepError(f"{what} has no key {key!r}; {hint}")


def one_line(text: str, *, limit: int = 500) -> str:
    """The text on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
