"""Nothing a run started outlives its supervisor, even one that is killed outright.

The guard is a small process, started with a supervisor's first step. It is told which process
groups there are, through a pipe that ends with the supervisor, and then ends what is left. Starting
it takes 20 ms of one core, just when dbt needs them all; so, where there is a shell, that one waits
and listens, for half a millisecond, and starts it only when it has something to do.
"""

from __future__ import annotations

import _thread
import os
import sys

from dbtorch.adapters.posix import has_ended, start, wait
from dbtorch.adapters.steps import left_behind
from dbtorch.adapters.steps.left_behind import GOOD_BYE, MARK, SIGKILL, SIGTERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: Collects what the supervisor says until it has gone, and then tells the guard, "$@".
_LISTEN = """
trap '' INT TERM HUP
cd /
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


class Guard:
    """The supervisor's side. Started with the first group it is told of."""

    def __init__(self, *, grace: float, scratch: Path | None = None, ask: int = SIGTERM) -> None:
        """``ask`` is the signal that asks a group to end, ``grace`` the seconds until it is killed.

        The folder ``scratch`` goes with the groups: what steps were told is in it. It must be this
        supervisor's alone, for the next one may be at work by then.
        """
        self.mark = f"{os.getpid()}-{os.urandom(8).hex()}"
        self._grace = grace
        self._ask = int(ask)
        self._scratch = scratch
        self._lock = _thread.allocate_lock()
        self._groups: set[int] = set()
        self._pid: int | None = None
        self._pipe = -1  # what it listens at

    def prepare(self) -> None:
        """Start the guard if it does not run, so that a group can be told of at once.

        Raises `OSError` when the machine has no process left.
        """
        with self._lock:
            if self._pid is not None and has_ended(self._pid):
                self._forget()
            if self._pid is None:
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
            self._tell(GOOD_BYE)
            if self._pid is not None:
                pid = self._pid
                self._forget()
                wait(pid)

    def _start(self) -> None:
        words = [sys.executable, "-I", "-S", left_behind.__file__]
        scratch = [] if self._scratch is None else [str(self._scratch.absolute())]
        words += [f"{MARK}={self.mark}", str(self._grace), str(self._ask), *scratch]
        shell = [_SHELL, "-c", _LISTEN, "dbtorch-guard"] if os.access(_SHELL, os.X_OK) else []
        its, self._pipe = os.pipe()
        try:
            # without the marks it is to look for; neither Ctrl-C nor a terminal that closes is
            # meant for it
            self._pid = start([*shell, *words], {}, stdin=its)
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(its)
        for group in self._groups:
            self._tell(b"+%d" % group)

    def _forget(self) -> None:
        os.close(self._pipe)
        self._pid = None

    def _tell(self, line: bytes) -> None:
        if self._pid is None:
            return
        try:
            os.write(self._pipe, line + b"\n")
        except OSError:  # somebody ended the guard: the next step starts another one
            pid = self._pid
            self._forget()
            os.kill(pid, SIGKILL)
            wait(pid)
