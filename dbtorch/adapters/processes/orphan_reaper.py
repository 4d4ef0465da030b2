"""No dbt that a run started outlives its supervisor, even one that is killed outright.

The guard is a small process, started with a supervisor's first dbt. It is told which process
groups there are, through a pipe that ends with the supervisor, and then ends what is left. Starting
it takes 20 ms of one core, just when dbt needs them all; so, where there is a shell, that one waits
and listens, for half a millisecond, and starts it only when it has something to do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from dbtorch.adapters.processes import reaping, subreaper
from dbtorch.adapters.processes.reaping import GOOD_BYE, MARK, SIGTERM

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

    def __init__(self, *, grace: float, ask: int = SIGTERM) -> None:
        """``ask`` is the signal that asks a group to end, ``grace`` the seconds until it dies."""
        self.mark = f"{os.getpid()}-{os.urandom(8).hex()}"
        self._grace = grace
        self._ask = int(ask)
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Start the guard if it does not run, so that a group can be told of at once.

        Raises `OSError` when the machine has no process left.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
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
            if self._process is not None:
                self._process.communicate()
                self._process = None

    def _start(self) -> None:
        words = [sys.executable, "-I", "-S", reaping.__file__]
        words += [f"{MARK}={self.mark}", str(self._grace), str(self._ask)]
        shell = [_SHELL, "-c", _LISTEN, "dbtorch-guard"] if os.access(_SHELL, os.X_OK) else []
        self._process = subprocess.Popen(
            [*shell, *words],
            bufsize=0,
            env={},  # without the marks it is to look for
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # neither Ctrl-C nor a terminal that closes is meant for it
        )
        subreaper.own(self._process.pid)
        for group in self._groups:
            self._tell(b"+%d" % group)

    def _tell(self, line: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(line + b"\n")
        except OSError:  # somebody ended the guard: the next dbt starts another one
            self._process.kill()
            self._process.wait()
