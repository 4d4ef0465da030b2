"""The machine, and whether a process of it is there."""

from __future__ import annotations

import os


def this_host() -> str:
    """Its name, as `socket.gethostname` says it, for which `socket` would have to be imported."""
    return os.uname().nodename


def lives(host: str, pid: int) -> bool:
    """Whether a process runs; those of other machines are taken to. A zombie runs no more."""
    if host != this_host() or pid <= 0 or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # another user's
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (OSError, IndexError):
        return False
