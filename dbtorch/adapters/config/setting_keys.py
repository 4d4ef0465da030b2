"""Keys that may stand on every level: defaults, step and ``meta.dbtorch``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dbtorch.adapters.config import durations
from dbtorch.adapters.config.kinds import DURATION, TEXT, TIMEOUT, Key, Section, whole
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.core.policy import Retry

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
LONG_NAMES = {"retries": "retries", "delay": "retry_delay", "max_delay": "retry_max_delay"}

RETRY = Section(
    title="retry",
    keys=(_RETRIES, replace(_DELAY, name="delay"), replace(_MAX_DELAY, name="max_delay")),
)

SETTINGS = (
    _RETRIES,
    _DELAY,
    _MAX_DELAY,
    Key(
        "retry",
        RETRY,
        "The three keys above in one.",
        example="{retries: 2, delay: 30s, max_delay: 10m}",
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
)


def said_twice(written: Mapping[str, Any], at: Path, report: Report) -> None:
    """``retry: {delay: …}`` and ``retry_delay`` are the same thing: only one of them may stand."""
    short = written.get("retry")
    if not isinstance(short, Mapping):
        return
    for key, long in LONG_NAMES.items():
        if key in short and long in written:
            report.wrong((*at, long), f"says the same as retry.{key}; keep one of them")


META = Section(title="meta.dbtorch", keys=SETTINGS, check=said_twice)
DEFAULTS = Section(title="defaults", keys=SETTINGS, check=said_twice)
