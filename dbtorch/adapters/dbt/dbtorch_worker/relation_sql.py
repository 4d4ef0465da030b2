"""What is asked of a relation, as SQL, and what the values mean. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timezone
from typing import Any


def expressions(asked: Mapping[str, Any]) -> dict[str, str]:
    """SQL expressions by the names of the checks that need them."""
    wanted = {"row_count": "count(*)"} if asked["rows"] else {}
    wanted.update({name: f"count({column})" for name, column in asked["nulls"].items()})
    wanted.update({name: f"max({column})" for name, column in asked["newest"].items()})
    return wanted


def listed(wanted: Iterable[str]) -> str:
    """Expressions as what a query selects."""
    return ",\n    ".join(f"{one} as value_{place}" for place, one in enumerate(wanted))


def put(
    found: dict[str, Any],
    asked: Mapping[str, Any],
    values: Mapping[str, Any],
    raised: dict[str, Exception],
) -> None:
    """Put values, by the names of the expressions, into an answer; no times into ``raised``."""
    if "row_count" in values:
        found["rows"] = int(values["row_count"])
    for name, column in asked["nulls"].items():
        if name in values and "rows" in found:
            found["nulls"][column] = found["rows"] - int(values[name])
    for name, column in asked["newest"].items():
        if name in values:
            try:
                found["newest"][column] = when(values[name])
            except Exception as error:
                raised[name] = error


def when(value: Any) -> str | None:
    """A time in UTC, as text; what has no zone is in UTC. Raises `ValueError` for no time."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))  # noqa: FURB162  # Python 3.9
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise ValueError(f"its newest value is no time but {value!r}")  # noqa: TRY004
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    return str(value.astimezone(timezone.utc).isoformat())
