"""Builds that read the project before anybody knows what they are to build."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from dbtorch.adapters.dbt.process.executable import Executable
from dbtorch.adapters.dbt.process.held import HeldBuild
from dbtorch.adapters.dbt.process.words import Words
from dbtorch.ports import EngineError


class Ahead:
    """Keeps one build ready for the batch that comes next."""

    def __init__(self, executable: Executable, words: Words, folder: Path, *, grace: float) -> None:
        """``folder`` is for their files, ``grace`` what they have to end, in seconds."""
        self._executable = executable
        self._words = words
        self._folder = folder
        self._grace = grace
        self._count = 0
        self._held: HeldBuild | None = None
        self._closed = False
        self._lock = threading.Lock()

    def launch(self) -> None:
        """Hold a build, if none is, and if there are named pipes. Raises `EngineError`."""
        with self._lock, contextlib.suppress(OSError):
            if self._held is None and not self._closed:
                self._count += 1
                folder = self._folder / str(self._count)
                self._held = HeldBuild(self._executable, self._words, folder, grace=self._grace)

    def foresee(self) -> None:
        """Hold a build, if one can be: without it the next batch takes longer, and that is all."""
        with contextlib.suppress(EngineError):
            self.launch()

    def take(self) -> HeldBuild | None:
        """The build that is held, for who has something to build."""
        with self._lock:
            held, self._held = self._held, None
            return held

    def close(self) -> None:
        """End what is held; nothing will be any more."""
        with self._lock:
            self._closed = True
        held = self.take()
        if held is not None:
            held.give_up()
