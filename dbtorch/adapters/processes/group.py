"""The end of a process that leads a group, and of what it leaves behind in it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Any, Protocol


def kill_group(pid: int) -> None:
    """End a process group, if anybody is left in it. Takes no lock, for signal handlers."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of zombies
        return


def has_ended(process: subprocess.Popen[Any]) -> bool:
    """Whether a process has ended; one that has is left to `reap`, where the system can do so."""
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody has reaped it
        return True


class Waited(Protocol):
    """A child process that leads a group."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def wait(self) -> int:
        """Its exit status, once it has ended."""


def reap(process: Waited) -> int:
    """Wait for the end of a process, and end what is left in its group; answers its exit status.

    Where the system can tell of an end before it is reaped, the group's number is still its own.
    """
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):  # somebody has reaped it
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        kill_group(process.pid)
        return process.wait()
    status = process.wait()
    kill_group(process.pid)
    return status
