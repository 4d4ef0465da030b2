"""``python:`` calls a function of the project, in the project's interpreter."""

from __future__ import annotations

import json
import re
from typing import Any

from dbtorch.adapters.steps.base import CHILD, Call, Command, StepError

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def check(action: Any) -> None:
    """The action is text, ``module:function``."""
    if not isinstance(action, str) or not ("{{" in action or _FUNCTION.fullmatch(action)):
        raise StepError(f'python must be "module:function", not {action!r}')


def command(action: Any, call: Call) -> Command:
    """The child process, told which function to call."""
    function = call.render(action)
    check(function)
    job = {"kind": "python", "function": function, "context": call.context}
    return Command(argv=(call.python, "-u", str(CHILD)), stdin=json.dumps(job), result=True)
