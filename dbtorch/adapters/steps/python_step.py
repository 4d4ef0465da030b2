"""``python:`` calls a function of the project, in the project's interpreter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbtorch.adapters.steps.base import CHILD, Call, Command, StepError

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


#: Its own code may open the project's database file.
opens_database = True


def check(action: Any) -> None:
    """The action is text, ``module:function``."""
    if not isinstance(action, str) or not ("{{" in action or _FUNCTION.fullmatch(action)):
        raise StepError(f'python must be "module:function", not {action!r}')


def code(action: Any, project_dir: Path) -> Iterator[Path]:
    """Where its module may be, if the project has it."""
    if isinstance(action, str):
        module = project_dir.joinpath(*action.partition(":")[0].split("."))
        yield module.with_suffix(".py")
        yield module / "__init__.py"


def command(action: Any, call: Call) -> Command:
    """The child process, told which function to call."""
    function = call.render(action)
    check(function)
    job = {"kind": "python", "function": function, "context": call.context}
    return Command(argv=(call.python, "-u", str(CHILD)), stdin=json.dumps(job), result=True)
