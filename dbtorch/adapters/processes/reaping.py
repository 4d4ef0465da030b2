"""Ends what a supervisor has left behind: processes of its steps, and of dbt.

This file is run by itself as the guard's own process, so it imports nothing but what Python starts
with.
"""

from __future__ import annotations

import os
import sys
import time

#: As POSIX numbers them; `signal` has names, and takes its time to import.
SIGINT, SIGKILL, SIGTERM = 2, 9, 15

#: Variable that every process of a supervisor's steps inherits, unlike those of its successor.
MARK = "DBTORCH_SUPERVISOR"

#: Variable that names the run, in the processes of all of its supervisors.
RUN = "DBTORCH_RUN_ID"

#: What a supervisor says that leaves properly: nothing of it is left.
GOOD_BYE = b"bye"

#: `prctl(2)`: orphans below become children of this process.
_PR_SET_CHILD_SUBREAPER = 36

#: Seconds between two looks at processes that are ending.
_EVERY = 0.05

#: Seconds the guard goes on looking: a process that was being started as the supervisor died
#: cannot be seen before it has become what it is to be.
_LATECOMERS = 0.5


def adopt_orphans() -> bool:
    """From now on orphans below this process are its children; only Linux knows of that."""
    if sys.platform != "linux":
        return False
    import ctypes

    zero = ctypes.c_ulong(0)
    libc = ctypes.CDLL(None)
    done: int = libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), zero, zero, zero)
    return done == 0


def end_left_behind(run_id: str, *, grace: float) -> int:
    """End what an earlier supervisor of this run left on this machine; answers how many it was.

    Returns when they are gone. Without ``/proc`` nothing is found.
    """
    mark = f"{RUN}={run_id}".encode()
    found = marked(mark)
    if found:
        end(set(), mark, grace)
    return len(found)


def marked(mark: bytes) -> set[int]:
    """Processes with this in their environment; not this one, what started it, what it started."""
    me, mine = os.getpid(), _ancestors(os.getpid())
    found = set()
    for pid in _processes():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read().split(b"\0")
        except OSError:  # it has just gone, or is somebody else's
            continue
        if mark in environ and pid not in mine and me not in _ancestors(pid):
            found.add(pid)
    return found


def end(
    groups: set[int],
    mark: bytes,
    grace: float,
    *,
    latecomers: float = 0.0,
    ask: int = SIGTERM,
) -> None:
    """Ask groups and marked processes to end, kill them after the grace; returns when all are gone.

    ``latecomers`` is for how many seconds to look for more of them.
    """
    now = time.monotonic()
    kill_at, look_until, give_up_at = now + grace, now + latecomers, now + grace + 5
    asked: set[int] = set()
    found: set[int] = set()  # also once the process is gone below which they were
    while time.monotonic() < give_up_at:
        found |= marked(mark).union(*map(below, groups))
        found = {pid for pid in found if not has_ended(pid)}
        alone = {pid for pid in found if group_of(pid) not in groups}  # nobody is asked twice
        left = {-group for group in groups if lives(group)} | alone
        if not left and time.monotonic() >= look_until:
            return
        if time.monotonic() >= kill_at:
            signal_all(left, SIGKILL)
        else:
            signal_all(left - asked, ask)
        asked |= left
        time.sleep(_EVERY)


def signal_all(targets: set[int], number: int) -> None:
    """Send a signal to processes, and to groups, which have negative numbers, that are there.

    Older ones first: a shell whose child ends before it hears anything just goes on to its end.
    """
    for target in sorted(targets):
        try:
            os.kill(target, number)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of zombies
            continue


def lives(group: int) -> bool:
    """Whether somebody in a process group still runs.

    Orphans are buried by process 1, and in a container that one may never do so: the dead do
    not count, where ``/proc`` tells.
    """
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    members = [_stat(pid) for pid in _processes()]
    return not members or any(
        len(stat) > 2 and stat[0] not in (b"Z", b"X") and int(stat[2]) == group for stat in members
    )


def _processes() -> list[int]:
    try:
        with os.scandir("/proc") as entries:
            return [int(entry.name) for entry in entries if entry.name.isdecimal()]
    except OSError:
        return []


def _stat(pid: int) -> list[bytes]:
    """State, parent, group and more, as proc(5) lists them; nothing when the process has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def group_of(pid: int) -> int:
    """The process group a process is in, 0 when it has gone."""
    stat = _stat(pid)
    return int(stat[2]) if len(stat) > 2 else 0


def below(top: int, *, deep: bool = True) -> set[int]:
    """All processes that one has started or adopted, and where it is deep those that these have.

    Those that have ended and that nobody has missed yet are among them. Without ``/proc`` nothing
    is found.
    """
    children: dict[int, list[int]] = {}
    for pid in _processes():
        stat = _stat(pid)
        if len(stat) > 1:
            children.setdefault(int(stat[1]), []).append(pid)
    found: set[int] = set()
    ahead = [top]
    while ahead:
        mine = [pid for pid in children.get(ahead.pop(), ()) if pid not in found]
        found.update(mine)
        ahead += mine if deep else []
    return found


def session_of(pid: int) -> int:
    """The session a process is in, 0 when it has gone."""
    stat = _stat(pid)
    return int(stat[3]) if len(stat) > 3 else 0


def has_ended(pid: int) -> bool:
    """Whether a process is no more, or only waits to be missed."""
    return _stat(pid)[:1] in ([], [b"Z"], [b"X"])


def _ancestors(pid: int) -> set[int]:
    """The process itself, the one that started it, and so on."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        stat = _stat(pid)
        pid = int(stat[1]) if len(stat) > 1 else 0
    return found


def main() -> None:
    """Be the guard: listen until the pipe ends, then end what is left."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    mark, grace = sys.argv[1].encode(), float(sys.argv[2])
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        word = line.strip()
        if word == GOOD_BYE:
            os._exit(0)  # the supervisor waits for it
        if word[1:]:  # a shell that knows of no group says one that has no number
            change = groups.add if word[:1] == b"+" else groups.discard
            change(int(word[1:]))
    end(groups, mark, grace, latecomers=_LATECOMERS, ask=int(sys.argv[3]))


if __name__ == "__main__":
    main()
