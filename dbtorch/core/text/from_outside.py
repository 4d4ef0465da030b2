"""Numbers, dates and JSON that somebody else has written: clamped to what is of use, or refused.

A header, a column, a step's own word: whatever comes from outside may be infinite, no number at
all, or of the year 9999. Nothing of it gets past here in a form that arithmetic could fail on.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from math import isinf, isnan
from typing import Any

#: Seconds that are as good as for ever: ten years. Added to a date of our days they are still one.
FOR_EVER = 3653 * 86_400.0

#: Characters of a number that are worth reading: with very many Python counts for minutes.
_DIGITS = 400

#: No date nearer to the ends of time, so that adding an offset or a while never leaves it.
_EARLIEST, _LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


#: Lists and mappings within each other that JSON of others may have.
_DEPTH = 100
_TOO_DEEP = f"it has more than {_DEPTH} lists and mappings within each other"


def number(value: object, *, least: float = 0.0, most: float = FOR_EVER) -> float | None:
    """The number, no less and no more than that; None for what is none, ``nan`` among it."""
    if isinstance(value, bool) or len(text := _text(value)) > _DIGITS:
        return None
    try:
        found = float(text)
    except ValueError:
        return None
    return None if isnan(found) else min(max(found, least), most)


def whole(value: object, *, least: int = 0, most: int) -> int | None:
    """The whole number, no less and no more than that; None for what is none."""
    if isinstance(value, bool) or len(text := _text(value)) > _DIGITS:
        return None
    try:
        return min(max(int(text), least), most)
    except ValueError:
        return None


def moment(value: object) -> datetime | None:
    """A date as ISO 8601 or HTTP writes it, in UTC, never nearer than a year to the ends of time.

    One that says no zone is one of UTC. None for what is no date.
    """
    text = _text(value).strip()
    found = _iso(text) or _of_mail(text)
    if found is None:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    try:
        found = found.astimezone(UTC)
    except (OverflowError, ValueError):  # its offset leads out of time
        return _EARLIEST if found.year < 5000 else _LATEST
    return min(max(found, _EARLIEST), _LATEST)


def seconds_to_wait(header: object, now: datetime) -> float | None:
    """Seconds, from either form of ``Retry-After`` (a number, or a date); None without one.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    found = number(header)
    until = moment(header) if found is None else None
    return found if until is None else number((until - now) / timedelta(seconds=1))


def _text(value: object) -> str:
    """What is written; whatever is neither a number nor text says nothing."""
    if isinstance(value, int):
        return str(value) if abs(value).bit_length() < 1024 else "-inf" if value < 0 else "inf"
    return str(value) if isinstance(value, (str, float)) else ""


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _of_mail(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


class Unreadable(ValueError):
    """JSON that is none, or of which something could not be kept or written again."""


def json_value(text: str | bytes) -> Any:
    """What JSON says. Raises `Unreadable`, in words that follow "it is not JSON: "."""
    try:
        found = json.loads(text, parse_constant=_no_json, parse_float=_finite)
    except RecursionError:
        raise Unreadable(_TOO_DEEP) from None
    except ValueError as error:  # also of a number with thousands of digits, and of no UTF-8
        raise Unreadable(str(error)) from None
    _look_into(found, _DEPTH)
    return found


def _look_into(value: Any, depth: int) -> None:
    """Whoever writes it again goes as deep as it is, and must come back."""
    if depth == 0:
        raise Unreadable(_TOO_DEEP)
    if isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            _look_into(one, depth - 1)


def _finite(digits: str) -> float:
    found = float(digits)
    if isinf(found):
        raise Unreadable(f"the number {digits[:40]} is beyond all numbers")
    return found


def _no_json(constant: str) -> Any:
    raise Unreadable(f"{constant} is not JSON")
