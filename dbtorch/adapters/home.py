"""The user's home, which a container's user often has none of."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with ``~`` and ``~name`` put into full; as it is where nobody knows a home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises without a home


def home() -> Path:
    """The user's home; a folder that is not there where there is none."""
    return expanded("~")
