"""Keys that may stand on every level: defaults, step and ``meta.dbtorch``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dbtorch.adapters.config import durations, freshness_keys
from dbtorch.adapters.config.kinds import (
    BOOLEAN,
    DEADLINE,
    DURATION,
    TEXT,
    TIMEOUT,
    Key,
    Kind,
    Later,
    Section,
    one_of,
    whole,
)
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.core.policy import OnFailure, Retry
from dbtorch.core.state import FailureClass

_DEFAULT = Retry()
_COUNT = whole(0, 1000)

_RETRIES = Key(
    "retries",
    _COUNT,
    "How often it is tried again after a failure that may pass; never for code and tests.",
    default="2; 1 for time-outs and unknown failures",
    example="3",
)
_DELAY = Key(
    "retry_delay",
    DURATION,
    "Longest wait before the first retry; doubles with each. A random part of it is waited.",
    default=durations.text(_DEFAULT.delay),
    example="30s",
)
_MAX_DELAY = Key(
    "retry_max_delay",
    DURATION,
    "The wait never gets longer than this.",
    default=durations.text(_DEFAULT.max_delay),
    example="10m",
)

#: Keys of ``retry`` and the settings they stand for.
LONG_NAMES = {
    "retries": "retries",
    "on": "retry_on",
    "delay": "retry_delay",
    "max_delay": "retry_max_delay",
    "jitter": "retry_jitter",
    "budget": "retry_budget",
}

_CLASSES = {
    FailureClass.TRANSIENT: "What may work a moment later: connection, lock, rate limit.",
    FailureClass.TIMEOUT: "It took longer than it may.",
    FailureClass.UNKNOWN: "Nobody can tell why.",
    FailureClass.DATA: "A constraint or a contract was broken, a row is bad, a test failed.",
    FailureClass.CODE: "SQL, Jinja or Python is wrong, or a permission is missing.",
}

RETRY_ON = Section(
    title="retry.on",
    keys=tuple(
        Key(found.value, _COUNT, doc, default=str(_DEFAULT.retries.get(found, 0)), example="1")
        for found, doc in _CLASSES.items()
    ),
)

RETRY = Section(
    title="retry",
    keys=(
        _RETRIES,
        Key(
            "on",
            RETRY_ON,
            "How often after a failure of each class; merged over those of weaker levels.",
            default="see below",
            example="{transient: 5, timeout: 1}",
        ),
        Key(
            "budget",
            DURATION,
            "After this time since the first attempt started no other one starts.",
            default="no limit",
            example="30m",
        ),
        replace(_DELAY, name="delay"),
        replace(_MAX_DELAY, name="max_delay"),
        Key(
            "jitter",
            BOOLEAN,
            "Wait a random part of the delay, so that many retries do not come at once.",
            default="true",
            example="false",
        ),
    ),
)

RETRY_KEY = Key(
    "retry",
    RETRY,
    "The three keys above in one, and more.",
    example="{on: {transient: 5, timeout: 1}, budget: 30m, delay: 30s}",
)

SETTINGS = (
    _RETRIES,
    _DELAY,
    _MAX_DELAY,
    RETRY_KEY,
    Key(
        "on_failure",
        one_of(OnFailure),
        "Whether those after it are left out when it fails, or run all the same; for models dbt's"
        " own `on_error` counts, too.",
        default=OnFailure.BLOCK.value,
        example="continue",
    ),
    Key(
        "timeout",
        TIMEOUT,
        "Longest time one attempt may run before it is cancelled.",
        default="no limit",
        example="1h",
    ),
    Key(
        "pool",
        TEXT,
        "Pool that one slot is taken of while it runs.",
        default="no pool",
        example="warehouse",
    ),
    Key(
        "priority",
        whole(-1_000_000, 1_000_000),
        "Higher starts first among what is ready; ties go to the longest remaining path.",
        default="0",
        example="10",
    ),
    Key(
        "owner",
        TEXT,
        "Who is named when it fails.",
        default="that of the dbt group or exposure",
        example="data-eng",
    ),
    Key(
        "runbook",
        TEXT,
        "Where it is written what to do when it fails.",
        example="docs/runbooks/orders.md",
    ),
    Key(
        "max_age",
        TIMEOUT,
        "How old its last success may be before `dbtorch status` calls it stale. `defaults` speak"
        " of models, seeds, snapshots and steps; sources have dbt's own freshness.",
        default="no limit",
        example="26h",
    ),
)

#: What a step or a node of dbt may say for itself alone.
DEADLINE_KEY = Key(
    "deadline",
    DEADLINE,
    "When it is late, as a pipeline's `deadline`: so long after the start of the run, or at the"
    " first such time of day after it. It is told, and goes on.",
    default="none",
    example='"07:30"',
)


def said_twice(written: Mapping[str, Any], at: Path, report: Report) -> None:
    """``retry: {delay: …}`` and ``retry_delay`` are the same thing: only one of them may stand."""
    short = written.get("retry")
    if not isinstance(short, Mapping):
        return
    for key, long in LONG_NAMES.items():
        if key in short and long in written:
            report.wrong((*at, long), f"says the same as retry.{key}; keep one of them")


def _checks() -> Kind:
    from dbtorch.adapters.config.check_keys import OF_A_NODE

    return OF_A_NODE


_CHECKS = Key(
    "checks",
    Later("false or mapping", _checks),
    "Checks of a source, model, seed or snapshot; `false` for none. See [Checks](checks.md).",
    default="those of `checks` in dbtorch.yml",
    example="{row_count: 1, schema: error}",
)

META = Section(
    title="meta.dbtorch",
    keys=(*SETTINGS, DEADLINE_KEY, *freshness_keys.META.keys, _CHECKS),
    check=said_twice,
)
DEFAULTS = Section(title="defaults", keys=SETTINGS, check=said_twice)
