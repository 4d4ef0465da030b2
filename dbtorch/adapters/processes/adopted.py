"""A child process that somebody else has started for us."""

from __future__ import annotations

import os
import signal
import threading

#: Exit status of one that somebody else has waited for: nobody knows it, so it is no good one.
_UNKNOWN = 255


class AdoptedProcess:
    """As `subprocess.Popen`, as far as it is used of those that were started so."""

    def __init__(self, pid: int) -> None:
        """``pid`` is a child of this process, and nobody else waits for it."""
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        with self._lock:
            if self.returncode is None:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:
                    self.returncode = _UNKNOWN
                else:
                    self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            return self.returncode

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        while (status := self.poll()) is None:
            try:
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:  # another thread was first
                continue
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with self._lock:
                if self.returncode is None:
                    os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def is_child(pid: int) -> bool:
    """Whether this process can wait for another one."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
