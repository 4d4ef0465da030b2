"""Files of dbt that another dbt may be writing at this very moment: it cuts them, then fills them.

Runs of one project share its target folder, as do those that a developer starts beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")

#: Seconds that writing a file takes at most, and between two looks at it.
_TAKES, _LOOK = 5.0, 0.05


def decoded(path: Path, decode: Callable[[bytes], T]) -> T:
    """What a file says, once it is whole; what ``decode`` raises is raised where it stays cut.

    Raises `OSError` as well.
    """
    until = time.monotonic() + _TAKES
    while True:
        try:
            return decode(path.read_bytes())
        except msgspec.ValidationError:  # it is whole, and something else
            raise
        except (ValueError, msgspec.DecodeError):
            age = time.time() - path.stat().st_mtime  # by the clock that has dated it
            if age > _TAKES or time.monotonic() > until:
                raise
        time.sleep(_LOOK)
