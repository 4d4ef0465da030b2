"""JSON from outside, as something that can be kept and written again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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
