"""How dbt 1 and dbt 2 write the same value, in events and in artifacts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dbtorch.core.model.graph import Kind

#: The file that dbt writes its results to, and selects by.
RUN_RESULTS = "run_results.json"

#: Sides of a run that have hooks.
ON_RUN_START, ON_RUN_END = "on-run-start", "on-run-end"

_STATUSES = (
    "success",
    "error",
    "fail",
    "warn",
    "pass",
    "skipped",
    "no-op",
    "reused",
    "partial success",
    "runtime error",
)
_BETWEEN = re.compile(r"[-_ ]")
_KNOWN = {_BETWEEN.sub("", status): status for status in _STATUSES}
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def status(said: str) -> str:
    """A status as dbt 1 writes it ("no-op", "partial success"); one that is unknown as it is.

    dbt 2 capitalises some, and writes words together in places.
    """
    return _KNOWN.get(_BETWEEN.sub("", said).lower(), said)


def moment(said: object) -> datetime | None:
    """A time; dbt 1 leaves away that it is UTC, dbt 2 writes nanoseconds. None where it is none."""
    if not isinstance(said, str) or not said:
        return None
    try:
        found = datetime.fromisoformat(said)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def plain(text: str) -> str:
    """A text without colours and the empty lines around it."""
    coloured = "\x1b" in text
    return (_COLOUR.sub("", text) if coloured else text).strip("\r\n").rstrip()


def rows_affected(response: Mapping[str, Any]) -> int | None:
    """What the adapter says of rows: a number (an event of dbt 1 has a float), or nothing."""
    rows = response.get("rows_affected")
    if isinstance(rows, bool) or not isinstance(rows, int | float) or not math.isfinite(rows):
        return None
    return int(rows) if 0 <= rows < 2**63 else None


def is_test(unique_id: str) -> bool:
    """Whether failures are counted for it; dbt 1 writes 0 for all others."""
    return Kind.of(unique_id) in (Kind.TEST, Kind.UNIT_TEST)
