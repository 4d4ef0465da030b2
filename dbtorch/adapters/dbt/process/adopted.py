"""A process that was started before `subprocess` was imported, as one of `subprocess`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any


class Adopted(subprocess.Popen[bytes]):
    """Does all that one does that was started here."""

    def __init__(self, pid: int, command: Sequence[str], stdout: int) -> None:
        """``stdout`` is the end of a pipe to which it prints."""
        self._there = pid
        super().__init__(command)
        self.stdout = os.fdopen(stdout, "rb")

    def _execute_child(self, *_: Any) -> None:
        """What `subprocess` starts a process with."""
        self.pid, self._child_created = self._there, True
