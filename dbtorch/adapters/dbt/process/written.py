"""Files that dbt writes and we read: once for each time that they are written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

#: When a file was written (ns), which one it is (inode), and its size (bytes).
Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """What is another one once a file has been written anew; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class Written(Generic[T]):
    """What files say. Reading them early saves time when they are asked for."""

    def __init__(self, read: Callable[[Path], T]) -> None:
        self._read = read
        self._known: dict[Path, tuple[Stamp | None, T]] = {}
        self._lock = threading.Lock()

    def of(self, path: Path) -> T:
        """What a file says now. Raises what reading it raises."""
        with self._lock:
            at = stamp(path)
            if path not in self._known or self._known[path][0] != at:
                self._known[path] = at, self._read(path)
            return self._known[path][1]
