"""Nothing a run started outlives its supervisor, even one that is killed outright.

The guard is a small process, started with a supervisor's first step. It is told which process
groups there are, through a pipe that ends with the supervisor, and then ends what is left. It is
this file, run by itself, so nothing but what Python starts with is imported at the top. Starting it
takes 20 ms of one core, just when dbt needs them all; so, where there is a shell, that one waits
and listens, for half a millisecond, and starts it only when it has something to do.
"""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: Variable that every process of a supervisor's steps inherits, unlike those of its successor.
MARK = "DBTORCH_SUPERVISOR"

#: Variable that names the run, in the processes of all of its supervisors.
RUN = "DBTORCH_RUN_ID"

#: What a supervisor says that leaves properly: nothing of it is left.
_GOOD_BYE = b"bye"

#: Collects what the supervisor says until it has gone, and then tells the guard, "$@".
_LISTEN = """
trap '' INT TERM HUP
groups=' '
while read -r word; do
  case $word in
    bye) exit 0 ;;
    +*) groups="$groups${word#+} " ;;
    *) group=" ${word#-} "
       case $groups in *"$group"*) groups="${groups%%"$group"*} ${groups#*"$group"}" ;; esac ;;
  esac
done
printf '+%s\\n' $groups | "$@"
"""
_SHELL = "/bin/sh"

#: Seconds between two looks at processes that are ending.
_EVERY = 0.05

#: Seconds the guard goes on looking: a process that was being started as the supervisor died
#: cannot be seen before it has become what it is to be.
_LATECOMERS = 0.5


class Guard:
    """The supervisor's side. Started with the first group it is told of."""

    def __init__(
        self, *, grace: float, scratch: Path | None = None, ask: int = signal.SIGTERM
    ) -> None:
        """``ask`` is the signal that asks a group to end, ``grace`` the seconds until it is killed.

        The folder ``scratch`` goes with the groups: what steps were told is in it. It must be this
        supervisor's alone, for the next one may be at work by then.
        """
        import subprocess
        import threading

        self.mark = f"{os.getpid()}-{os.urandom(8).hex()}"
        self._grace = grace
        self._ask = int(ask)
        self._scratch = scratch
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Start the guard if it does not run, so that a group can be told of at once.

        Raises `OSError` when the machine has no process left.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._process.communicate()
                self._process = None
            if self._process is None:
                self._start()

    def add(self, group: int) -> None:
        """From now on this process group ends with the supervisor."""
        with self._lock:
            self._groups.add(group)
            self._tell(b"+%d" % group)

    def remove(self, group: int) -> None:
        """Forget a process group that has ended."""
        with self._lock:
            self._groups.discard(group)
            self._tell(b"-%d" % group)

    def close(self) -> None:
        """Let the guard go; to be called when no step is left."""
        with self._lock:
            self._tell(_GOOD_BYE)
            process, self._process = self._process, None
            if process is not None:
                process.communicate()

    def _start(self) -> None:
        import subprocess

        words = [sys.executable, "-I", "-S", __file__]
        scratch = [] if self._scratch is None else [str(self._scratch.absolute())]
        words += [f"{MARK}={self.mark}", str(self._grace), str(self._ask), *scratch]
        shell = [_SHELL, "-c", _LISTEN, "dbtorch-guard"] if os.access(_SHELL, os.X_OK) else []
        self._process = subprocess.Popen(
            [*shell, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},  # without the marks it is to look for
            start_new_session=True,  # neither Ctrl-C nor a terminal that closes is meant for it
        )
        for group in self._groups:
            self._tell(b"+%d" % group)

    def _tell(self, line: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except OSError:  # somebody ended the guard: the next step starts another one
            self._process.kill()


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
    ask: int = signal.SIGTERM,
) -> None:
    """Ask groups and marked processes to end, kill them after the grace; returns when all are gone.

    ``latecomers`` is for how many seconds to look for more of them.
    """
    now = time.monotonic()
    kill_at, look_until, give_up_at = now + grace, now + latecomers, now + grace + 5
    asked: set[int] = set()
    while time.monotonic() < give_up_at:
        alone = {pid for pid in marked(mark) if _group(pid) not in groups}  # nobody is asked twice
        left = {-group for group in groups if lives(group)} | alone
        if not left and time.monotonic() >= look_until:
            return
        if time.monotonic() >= kill_at:
            _signal(left, signal.SIGKILL)
        else:
            _signal(left - asked, ask)
        asked |= left
        time.sleep(_EVERY)


def _signal(targets: set[int], number: int) -> None:
    for target in targets:
        try:
            os.kill(target, number)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of zombies
            pass


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


def _group(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[2]) if len(stat) > 2 else 0


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
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    mark, grace = sys.argv[1].encode(), float(sys.argv[2])
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        word = line.strip()
        if word == _GOOD_BYE:
            os._exit(0)  # the supervisor waits for it
        if word[1:]:  # a shell that knows of no group says one that has no number
            change = groups.add if word[:1] == b"+" else groups.discard
            change(int(word[1:]))
    end(groups, mark, grace, latecomers=_LATECOMERS, ask=int(sys.argv[3]))
    if sys.argv[4:]:
        import shutil

        shutil.rmtree(sys.argv[4], ignore_errors=True)


if __name__ == "__main__":
    main()
