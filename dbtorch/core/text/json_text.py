"""JSON: from outside, as something that can be kept and written again, and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Grows when a field goes away or means something else; new fields may come at any time.
SCHEMA_VERSION = 1

#: Levels of JSON: nobody writes more, and reading or writing it takes a stack.
DEEPEST = 100


def expressible(value: Any, deepest: int = DEEPEST) -> Any:
    """The same as JSON can express it: null for what is no number, and for what is too deep."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        inner = deepest - 1
        return {str(k): expressible(v, inner) for k, v in value.items()} if deepest else None
    if isinstance(value, list | tuple):
        return [expressible(one, deepest - 1) for one in value] if deepest else None
    return value


def document(**fields: Any) -> str:
    """What programs get of one thing: `docs/output.md` has the shape of each."""
    return to_json({"schema_version": SCHEMA_VERSION, **fields}, indent=2)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Valid JSON, whatever was kept: a number that JSON cannot express is null."""
    import json

    try:
        written = json.dumps(value, default=str, allow_nan=False, indent=indent)
    except (ValueError, RecursionError):
        written = json.dumps(expressible(value), default=str, allow_nan=False, indent=indent)
    return written.replace("\x7f", "\\u007f")  # the one character left that a terminal would obey
