"""Builds that read the project before anybody knows what they are to build."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.prestart.waiting_build import WaitingBuild
from dbtorch.core.errors import EngineError


class Standby:
    """Implements `Prestart` with one build that waits for the batch that comes next."""

    is_ahead = True

    def __init__(self, executable: Executable, words: DbtArgs, folder: Path) -> None:
        """``folder`` is for their files."""
        self._executable = executable
        self._words = words
        self._folder = folder
        self._count = 0
        self._waiting: WaitingBuild | None = None
        self._closed = False
        self._lock = threading.Lock()

    def launch(self) -> None:
        """Start a build, if none waits, and if there are named pipes. Raises `EngineError`."""
        with self._lock, contextlib.suppress(OSError):
            if self._waiting is None and not self._closed:
                self._count += 1
                folder = self._folder / str(self._count)
                self._waiting = WaitingBuild(self._executable, self._words, folder)

    def prewarm(self) -> None:
        """Start a build, if one can be started."""
        with contextlib.suppress(EngineError):
            self.launch()

    def build(self, folder: Path) -> subprocess.Popen[bytes] | None:
        """The build that waits, which goes on; None where none does, or it has ended by now."""
        waiting = self._take()
        return None if waiting is None else waiting.go_on(folder)

    def close(self) -> None:
        """End what waits; nothing will any more."""
        with self._lock:
            self._closed = True
        waiting = self._take()
        if waiting is not None:
            waiting.give_up()

    def _take(self) -> WaitingBuild | None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
            return waiting
