"""``command:`` executes a program: a list is its arguments, text goes through the shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbtorch.adapters.steps.base import Call, Command, StepError

#: Files that a command executes rather than reads or writes.
_SCRIPTS = frozenset({".py", ".sh", ".bash", ".sql", ".rb", ".js", ".pl", ".r"})

#: Its own code may open the project's database file.
opens_database = True


def check(action: Any) -> None:
    """The action is text, or a list of a program and its arguments."""
    if isinstance(action, str):
        good = bool(action.strip())
    else:
        scalars = isinstance(action, (list, tuple)) and bool(action)
        good = scalars and all(isinstance(part, (str, int, float)) for part in action)
    if not good:
        raise StepError(f"command must be text or a list of a program and its arguments: {action}")


def code(action: Any, project_dir: Path) -> Iterator[Path]:
    """Scripts of the project that its text names."""
    try:
        words = shlex.split(action) if isinstance(action, str) else []
    except ValueError:
        return
    for word in words:
        path = project_dir / word
        if path.suffix.lower() in _SCRIPTS and path.is_file():
            yield path


def command(action: Any, call: Call) -> Command:
    """The program itself; its exit status says how it ended."""
    rendered = call.render(action)
    text = isinstance(rendered, str)
    if _is_nothing(rendered if text else str(rendered[0])):
        raise StepError(
            "the command rendered to nothing (it is blank or holds only comments), so nothing was "
            "executed; where there may be nothing to do, say so with `when`"
        )
    return Command(argv=("/bin/sh", "-c", rendered) if text else tuple(map(str, rendered)))


def _is_nothing(text: str) -> bool:
    """Whether every line is blank or a comment: a shell would call that a success."""
    lines = (line.strip() for line in text.splitlines())
    return all(not line or line.startswith("#") for line in lines)
