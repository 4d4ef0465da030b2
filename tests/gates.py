"""Other processes, and SQL that waits for a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.waiting import PATIENCE, eventually


class Gate:
    """SQL that stands still: it reads a named pipe, and nobody writes. For DuckDB."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._pipe: int | None = None
        self.sql = f"read_csv('{path}', columns={{'c': 'text'}}, header=false, auto_detect=false)"

    def wait(self) -> None:
        """Return when somebody stands before it."""
        assert eventually(self._is_met), "nobody came"

    def _is_met(self) -> bool:
        if self._pipe is None:
            with contextlib.suppress(OSError):
                self._pipe = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        return self._pipe is not None

    def forget(self) -> None:
        """Who stood before it is gone."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def open(self) -> None:
        """Let through who stands before it, or will."""
        self.wait()
        assert self._pipe is not None
        os.write(self._pipe, b"one row\n")
        self.forget()


def in_another_process(code: str, *args: object) -> str:
    """Run Python in a process of its own; answers what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout
