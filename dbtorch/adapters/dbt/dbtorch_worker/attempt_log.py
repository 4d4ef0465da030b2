"""The log file of one attempt, and what must not get into it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, ClassVar, TextIO

from .events import CHATTER, TOLD_OTHERWISE, hear
from .scrubbing import scrub


class AttemptLog:
    """The log file of one attempt: what dbt says about its node, queries included.

    Lines are buffered and written out by one thread for all logs four times a second, so that a
    log can be followed and costs a node next to nothing.
    """

    _open: ClassVar[set[AttemptLog]] = set()

    def __init__(self, path: str) -> None:
        self._file = _opened(path)
        self._lock = threading.Lock()
        self._open.add(self)

    def write(self, text: str) -> None:
        """Write one timed entry. A log that cannot be written must not fail a node."""
        now = datetime.now(timezone.utc).strftime("%H:%M:%S.%f")[:-3]
        with contextlib.suppress(OSError, ValueError), self._lock:
            self._file.write(f"{now}  {scrub(text)}\n")

    def flush(self) -> None:
        """Write out what was buffered."""
        with contextlib.suppress(OSError, ValueError), self._lock:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._open.discard(self)
        with contextlib.suppress(OSError), self._lock:
            self._file.close()

    @classmethod
    def flush_all_the_time(cls) -> None:
        """Start the thread that writes out what was buffered."""

        def flush() -> None:
            while True:
                time.sleep(0.25)
                for log in list(cls._open):
                    log.flush()

        threading.Thread(target=flush, name="dbtorch-logs", daemon=True).start()


def _opened(path: str) -> TextIO:
    """The file, or one that takes everything: a log that cannot be written must not fail a node."""
    try:
        return open(path, "a", encoding="utf-8", buffering=1 << 16)
    except OSError:
        return open(os.devnull, "w", encoding="utf-8")


def route_events(
    logs: Mapping[str, AttemptLog], warned: Callable[[str, str, str], None] = lambda *_: None
) -> None:
    """Send what dbt says about a node to the log of its attempt; ``logs`` are those by node.

    ``warned`` is told of warnings: the event's name, the text, and the node that is under way.
    """
    from dbt_common.events.contextvars import get_node_info

    def write(event: Any, level: str) -> None:
        if level == "warn" and type(event).__name__ not in TOLD_OTHERWISE:
            node = (get_node_info() or {}).get("unique_id") or ""
            warned(type(event).__name__, scrub(event.message()), node)
        if logs and not (level == "debug" and type(event).__name__ in CHATTER):
            log = logs.get((get_node_info() or {}).get("unique_id") or "")
            if log is not None:
                log.write(event.message())

    hear(write)
