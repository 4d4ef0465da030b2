"""The machine, and whether a process of it is there."""

from __future__ import annotations

import os
import sys


def this_host() -> str:
    """Its name, as `socket.gethostname` says it, for which `socket` would have to be imported.

    It says nothing about where a process runs: containers and clones of machines share names.
    """
    return os.uname().nodename


def this_process() -> str:
    """What no other process has, on no other machine: where it can be seen, and since when."""
    machine = _machine()
    return f"{machine} {_started(os.getpid())}" if machine else ""


def is_gone(process: str, pid: int) -> bool:
    """Whether what `this_process` said of itself is known to be no more. A zombie is.

    Nothing is known of processes that were started elsewhere, or before this one's last boot.
    """
    machine, _, started = process.rpartition(" ")
    return bool(machine) and machine == _machine() and _started(pid) != started


def _machine() -> str:
    """Where a process's number means the same process; nothing where that cannot be told."""
    if sys.platform != "linux":
        import uuid  # names of machines come up again, addresses of their network cards do not

        return f"{this_host()}/{uuid.getnode():x}"
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        space = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 (no need of pathlib)
    except OSError:
        return ""
    return f"{boot}/{space}"


def _started(pid: int) -> str:
    """When a process was started, by the clock of its machine; nothing when it is no more."""
    if sys.platform != "linux":
        return "runs" if _answers(pid) else ""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            said = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if said[0] in (b"Z", b"X") else said[19].decode()


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # another user's
    return True
