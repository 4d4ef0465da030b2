"""Durations as people write them: ``30s``, ``10m``, ``1h30m``."""

from __future__ import annotations

import math
import re
from typing import Any

from dbtorch.core.errors import Refused

ACCEPTED = 'a duration is a number of seconds, or text such as "30s", "10m", "1h30m" or "2d"'

#: Longest duration in seconds, ten years. Longer ones are typing errors, and overflow dates.
LONGEST = 3660 * 86400.0

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_COUNT = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_WRITTEN = re.compile("".join(rf"(?:(?P<{unit}>{_COUNT})\s*{unit}\s*)?" for unit in _UNITS))

#: A duration that is text, for JSON Schema, which knows no names of groups.
PATTERN = r"(?=[^\n]*[0-9])" + "".join(rf"(?:{_COUNT}\s*{unit}\s*)?" for unit in _UNITS)


def seconds(value: Any) -> float:
    """Seconds of a number or of text; `Refused` for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused(ACCEPTED)
    total = _parsed(value) if isinstance(value, str) else value
    if isinstance(total, float) and not math.isfinite(total):
        raise Refused(ACCEPTED)
    if total < 0 or total > LONGEST:
        raise Refused(f"a duration is between 0 and {text(LONGEST)}")
    return float(total)


def text(duration: float) -> str:
    """A duration in the shortest way `seconds` reads: 5400 is ``1h30m``."""
    whole = int(duration)
    fraction = f"{duration - whole:.9f}".rstrip("0").removeprefix("0").rstrip(".")
    if duration < 0 or fraction.startswith("1"):
        raise ValueError(f"{duration!r} cannot be written as a duration")
    parts = []
    for unit, size in _UNITS.items():
        count, whole = divmod(whole, size)
        tail = fraction if unit == "s" else ""
        if count or tail:
            parts.append(f"{count}{tail}{unit}")
    return "".join(parts) or "0s"


def _parsed(written: str) -> float:
    match = _WRITTEN.fullmatch(written.strip())
    if match is None or not any(match.groups()):
        raise Refused(ACCEPTED)
    return sum(float(count) * _UNITS[unit] for unit, count in match.groupdict().items() if count)
