"""What a process prints goes to the log as it happens, without the values of secrets."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from dbtorch.core.failures.scrub import Scrubber

#: Seconds for what was printed last to arrive; somebody outside the group may never stop.
_PATIENCE = 2.0


class Output:
    """Where a process prints to: the log itself, or a pipe to it when there are secrets."""

    def __init__(self, log: Path, hide: Scrubber) -> None:
        """Open the log. Raises `OSError`."""
        self._hide = hide
        self._file = log.open("ab", buffering=0)
        self._thread: threading.Thread | None = None
        self.fd = self._file.fileno()  # for the process to write to
        if hide:
            read, self.fd = os.pipe()
            self._thread = threading.Thread(target=self._copy, args=(read,), daemon=True)
            self._thread.start()

    def handed_over(self) -> None:
        """Let go of this side's end: the process has it, or could not be started."""
        if self._thread is None:
            self._file.close()
        else:
            os.close(self.fd)

    def drain(self) -> None:
        """Wait for what was printed; to be called when the process has ended."""
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _copy(self, read: int) -> None:
        with contextlib.suppress(OSError), open(read, "rb", buffering=0) as pipe, self._file:
            for chunk in self._hide.stream(iter(lambda: pipe.read(1 << 16), b"")):
                self._file.write(chunk)
