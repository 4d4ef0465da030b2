"""Keys of ``failure_classes`` and ``circuit_breaker``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dbtorch.adapters.config import durations
from dbtorch.adapters.config.kinds import (
    TIMEOUT,
    Key,
    Listed,
    Scalar,
    Section,
    Several,
    Switch,
    whole,
)
from dbtorch.adapters.config.problems import Path, Refused, Report, suggestion
from dbtorch.core.policy import Breaker
from dbtorch.core.state import FailureClass

#: What a rule may say of a failure; `dependency` is what the graph says.
CLASSES = tuple(found for found in FailureClass if found is not FailureClass.DEPENDENCY)

_BREAKER = Breaker()


def _class(value: Any) -> FailureClass:
    words = [found.value for found in CLASSES]
    if value not in words:
        near = suggestion(value, words) if isinstance(value, str) else ""
        raise Refused(near or f"expected one of {', '.join(words)}")
    return FailureClass(value)


def _sqlstate(value: Any) -> str:
    """Five characters, or the two of a class; YAML takes some of them for numbers."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9A-Z]{5}|[0-9A-Z]{2}", text):
        raise Refused('expected five characters, or the first two of them, such as "40001" or "08"')
    return text


def _errno(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise Refused("expected the driver's number or name of an error")
    return str(value).strip()


def _exception(value: Any) -> str:
    if not isinstance(value, str) or not all(part.isidentifier() for part in value.split(".")):
        raise Refused('expected the name of a Python class or package, such as "OperationalError"')
    return value


def _http_status(value: Any) -> str:
    text = str(value) if isinstance(value, str | int) else ""
    if not re.fullmatch(r"[1-5](?:[0-9][0-9]|xx)", text):
        raise Refused("expected a status such as 503 or 5xx")
    return text


def _regex(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Refused("expected a regular expression")
    try:
        re.compile(value)
    except (re.error, OverflowError) as error:
        raise Refused(f"which is no regular expression: {error}") from None
    return value


_EVIDENCE = (
    Key(
        "sqlstate",
        Several(Scalar("SQLSTATE", _sqlstate)),
        "Five characters, or the two of a class.",
        example='["55P03", "08"]',
    ),
    Key(
        "exception",
        Several(Scalar("class", _exception)),
        "Class that was raised, or one it inherits from: dotted, its end, or its package.",
        example="pymysql.err.OperationalError",
    ),
    Key(
        "errno",
        Several(Scalar("number or name", _errno)),
        "Number or name the driver has for it.",
        example="[1205, 1213]",
    ),
    Key(
        "exit_status",
        Several(whole(1, 255)),
        "Exit status of a step; 128 + n when signal n ended it.",
        example="3",
    ),
    Key(
        "http_status",
        Several(Scalar("status", _http_status)),
        "Status of an HTTP answer; `4xx` is a hundred of them.",
        example="409",
    ),
    Key(
        "message",
        Scalar("regular expression", _regex),
        "Anywhere in the message, in capitals or not.",
        example='"lake is (busy|frozen)"',
    ),
)


def _names_something(written: Mapping[str, Any], at: Path, report: Report) -> None:
    names = [key.name for key in _EVIDENCE]
    if not set(written) - {"class"}:
        report.wrong(at, f"names no evidence; give it one of {', '.join(names)}")


RULE = Section(
    title="failure_classes",
    keys=(
        Key(
            "class",
            Scalar(" or ".join(CLASSES), _class),
            "What such a failure is. Required.",
            example="transient",
        ),
        *_EVIDENCE,
    ),
    required="class",
    check=_names_something,
)

BREAKER = Section(
    title="circuit_breaker",
    keys=(
        Key(
            "failures",
            whole(1, 1_000_000),
            "So many different nodes that fail transiently ...",
            default=str(_BREAKER.failures),
            example="5",
        ),
        Key(
            "window",
            TIMEOUT,
            "... within this time open it.",
            default=durations.text(_BREAKER.window),
            example="1m",
        ),
        Key(
            "pause",
            TIMEOUT,
            "So long nothing starts; then one node finds out whether the warehouse is back.",
            default=durations.text(_BREAKER.pause),
            example="30s",
        ),
        Key(
            "patience",
            TIMEOUT,
            "So long into an outage a node that finds out that it lasts loses no try.",
            default=durations.text(_BREAKER.patience),
            example="1h",
        ),
    ),
)

KEYS = (
    Key(
        "failure_classes",
        Listed(RULE),
        "What failures of your adapter and your steps are; before the built-in table.",
        default="none",
    ),
    Key(
        "circuit_breaker",
        Switch(BREAKER),
        "When dbt nodes stop starting because the warehouse is down; `false` for never.",
        default="on",
        example="{failures: 5, window: 1m, pause: 30s, patience: 1h}",
    ),
)
