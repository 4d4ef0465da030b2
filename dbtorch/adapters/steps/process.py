"""One process of a step, in a session and process group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dbtorch.adapters.steps.guard import Guard
from dbtorch.adapters.steps.left_behind import lives
from dbtorch.adapters.steps.output import Output
from dbtorch.adapters.turns import InFront


class Process:
    """Started once, waited for once, cancelled from any thread."""

    def __init__(self, *, grace: float, guard: Guard) -> None:
        """``grace`` is how many seconds lie between being asked to end and being killed."""
        self._grace = grace
        self._guard = guard
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._killer: threading.Timer | None = None
        self._deadline = 0.0
        self.cancelled = False  # it was asked to end before it had ended by itself

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        log: Path,
        stdin: str | None,
        started: Callable[[], None],
        secrets: Sequence[str] = (),
    ) -> int | None:
        """Start it, tell ``started``, wait; its exit status, or None when cancelled before.

        Output goes to the log as it happens, without the ``secrets``. Nothing of the process
        group is left when this returns.
        """
        with self._lock:
            if self.cancelled:
                return None
            self._guard.prepare()
            output = Output(log, secrets)
            try:
                with InFront():
                    self._popen = subprocess.Popen(
                        argv,
                        cwd=cwd,
                        env=env,
                        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                        stdout=output.fd,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
            finally:
                output.handed_over()
            self._guard.add(self._popen.pid)
        popen = self._popen
        try:
            started()
            _feed(popen, stdin)
            return popen.wait()
        finally:
            self._sweep(popen)
            output.drain()

    def cancel(self) -> None:
        """Ask the group to end, and kill it after the grace; returns at once."""
        with self._lock:
            if self.cancelled:
                return
            if self._popen is None:
                self.cancelled = True
                return
            if self._popen.poll() is not None:
                return  # it had ended, and how it ended stands
            self.cancelled = True
            self._deadline = time.monotonic() + self._grace
            _signal(self._popen.pid, signal.SIGTERM)
            self._killer = threading.Timer(self._grace, self._kill, (self._popen,))
            self._killer.daemon = True
            self._killer.start()

    def kill(self) -> None:
        """End the group at once; takes no lock, so a signal handler may call it at any time."""
        self.cancelled = True
        if self._popen is not None:
            _signal(self._popen.pid, signal.SIGKILL)

    def _kill(self, popen: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if popen.poll() is None:
                _signal(popen.pid, signal.SIGKILL)

    def _sweep(self, popen: subprocess.Popen[bytes]) -> None:
        """End what the leader left behind; after a cancel its children have the grace too."""
        if popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                popen.stdin.close()
        if popen.poll() is None:  # only when waiting itself went wrong
            _signal(popen.pid, signal.SIGKILL)
            popen.wait()
        while self.cancelled and time.monotonic() < self._deadline and lives(popen.pid):
            time.sleep(0.05)
        _signal(popen.pid, signal.SIGKILL)
        self._guard.remove(popen.pid)
        if self._killer is not None:
            self._killer.cancel()


def _feed(popen: subprocess.Popen[bytes], text: str | None) -> None:
    """Write what the process reads first; one that ends before it has read is no error here."""
    if popen.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError), popen.stdin as pipe:
        pipe.write((text or "").encode())


def _signal(group: int, number: int) -> None:
    """Send a signal to a process group, in which there may be nobody left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: the latter of zombies
        os.killpg(group, number)
