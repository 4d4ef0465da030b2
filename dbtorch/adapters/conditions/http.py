"""Looks at what a server answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from dbtorch.adapters.conditions.unknown import Unknown
from dbtorch.adapters.exchange import Budget
from dbtorch.adapters.steps import http_step
from dbtorch.adapters.steps.base import StepError, one_line
from dbtorch.adapters.steps.request import Answer, answered, is_expected
from dbtorch.adapters.template import broken, evaluate
from dbtorch.adapters.template_limits import TemplateError
from dbtorch.core.failures.classify import classify
from dbtorch.core.model.state import FailureClass
from dbtorch.core.schedule.news import Observation
from dbtorch.step import Fail

#: Seconds that an answer has where nobody says any.
_TIMEOUT = 10


def problem(said: Mapping[str, Any]) -> str:
    """What is wrong with how a request is written; empty when nothing is."""
    try:
        http_step.check({name: value for name, value in said.items() if name != "until"})
    except StepError as error:
        return f"is wrong: {error}"
    wrong = broken(str(said["until"])) if said.get("until") else None
    return f"has an until that is no expression: {wrong}" if wrong else ""


def look(said: Mapping[str, Any]) -> Observation:
    """Whether the answer is as expected; ``said`` is rendered, but for ``until``.

    Raises `Unknown` where the server does not answer, or says that it cannot now.
    """
    until = said.get("until")
    bare = str(said["url"]).partition("?")[0]
    try:
        request = http_step.request_of(
            {"timeout": _TIMEOUT, **{k: v for k, v in said.items() if k != "until"}}
        )
        with Budget(request["timeout"]) as budget:
            answer = answered(request, budget)
    except (StepError, Fail, ValueError) as error:
        raise Unknown(f"{bare}: {one_line(str(error))}") from None
    except (OSError, http.client.HTTPException) as error:
        why = one_line(str(getattr(error, "reason", error))) or type(error).__name__
        raise Unknown(f"{bare}: {why}") from None
    told = f"{bare} answered {answer.status}"
    if not is_expected(request, answer.status):
        if classify([{"http_status": answer.status}], "") is FailureClass.TRANSIENT:
            raise Unknown(told)
        return Observation(words="", text=told)
    return _judged(answer, until, told) if until else Observation(words="holds", text=told)


def _judged(answer: Answer, until: str, told: str) -> Observation:
    if answer.no_json and "json" in until:
        raise Unknown(f"{told}, which is no JSON ({answer.no_json})")
    try:
        value = evaluate(until, answer.names())
    except TemplateError as error:
        raise Unknown(f"{told}: {error}") from None
    return Observation(words=word_of(value), text=told)


def word_of(value: Any) -> str:
    """What stands for a value: nothing for one that is false, another word for another value."""
    if not value:
        return ""
    if value is True:
        return "holds"
    return sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()[:16]
