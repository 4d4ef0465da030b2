"""What a scheduler says: one JSON object a line, its own events and those of its runs."""

from __future__ import annotations

import contextlib
import json
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

from dbtorch.core.failures.scrub import Scrubber


class Log:
    """Writes whole lines, from whatever thread; who does not read them is no reason to end."""

    def __init__(self, stream: TextIO, hide: Scrubber | None = None, **common: Any) -> None:
        """``common`` is said with every event of the scheduler itself.

        ``hide`` takes secrets out of what goes wrong, which may quote anything.
        """
        self.hide = hide or Scrubber()
        self._stream = stream
        self._common = common
        self._lock = threading.Lock()

    def write(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """An event of the scheduler, or of one of its runs."""
        head = {"ts": datetime.now(UTC).isoformat(), "event": event, "level": level}
        self.pass_on({**head, **self._common, **self.hide.json(fields)})

    def pass_on(self, said: dict[str, Any]) -> None:
        """An object as it is: of a run, which has taken secrets out."""
        line = json.dumps(said, default=str, ensure_ascii=False)
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()
