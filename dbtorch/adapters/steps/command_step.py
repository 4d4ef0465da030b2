"""``command:`` executes a program: a list is its arguments, text goes through the shell."""

from __future__ import annotations

from typing import Any

from dbtorch.adapters.steps.base import Call, Command, StepError


def check(action: Any) -> None:
    """The action is text, or a list of a program and its arguments."""
    if isinstance(action, str):
        good = bool(action.strip())
    else:
        scalars = isinstance(action, (list, tuple)) and bool(action)
        good = scalars and all(isinstance(part, (str, int, float)) for part in action)
    if not good:
        raise StepError(f"command must be text or a list of a program and its arguments: {action}")


def command(action: Any, call: Call) -> Command:
    """The program itself; its exit status says how it ended."""
    if isinstance(action, str):
        return Command(argv=("/bin/sh", "-c", call.render(action)))
    return Command(argv=tuple(str(part) for part in call.render(action)))
