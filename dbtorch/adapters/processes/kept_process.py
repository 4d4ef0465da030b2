"""One process of a step, with a keeper that lets nothing of it outlive it."""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dbtorch.adapters.processes import keeper, subreaper
from dbtorch.adapters.processes.output import Output
from dbtorch.core.failures.scrub import Scrubber

_NO_SECRETS = Scrubber()

#: Words that start a keeper, but for the number of its socket.
_ROOT = Path(__file__).parents[3]
_CODE = (
    f"import sys; sys.path.append({str(_ROOT)!r}); "
    "from dbtorch.adapters.processes import keeper; keeper.main(int(sys.argv[1]))"
)
_KEEPER = (sys.executable, "-I", "-S", "-c", _CODE)

#: Seconds after the grace in which a keeper must have said that all is over.
_PATIENCE = 15.0


class KeeperLost(Exception):
    """The keeper was killed: nobody knows how the process has ended. The text says so."""


class Process:
    """Started once, waited for once, cancelled from any thread."""

    def __init__(self, *, grace: float) -> None:
        """``grace`` is how many seconds lie between being asked to end and being killed."""
        self._grace = grace
        self._lock = threading.Lock()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._leader: int | None = None
        self._status: int | None = None
        self._late: threading.Timer | None = None
        self.left: tuple[int, ...] = ()  # processes that could not be ended
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
        hide: Scrubber = _NO_SECRETS,
        scratch: Path | None = None,
    ) -> int | None:
        """Start it, tell ``started``, wait; its exit status, or None when cancelled before.

        Output goes to the log as it happens, without what ``hide`` knows. Nothing that it has
        started is left when this returns. Should this process be killed, the folder ``scratch``
        goes, too.
        Raises `OSError` when it cannot start, and `KeeperLost`.
        """
        told = {
            "argv": [os.fspath(word) for word in argv],
            "cwd": str(cwd),
            "env": dict(env),
            "grace": self._grace,
            "scratch": "" if scratch is None else str(scratch.absolute()),
        }
        with self._lock:
            if self.cancelled:
                return None
            output = Output(log, hide)
            try:
                self._start_keeper(told, output.fd, reads=stdin is not None)
            finally:
                output.handed_over()
        try:
            return self._follow(told, started, stdin)
        finally:
            self._over()
            output.drain()

    def cancel(self) -> None:
        """Ask all of it to end, and kill it after the grace; returns at once."""
        with self._lock:
            if self.cancelled:
                return
            if self._status is None:  # or it had ended, and how it ended stands
                self.cancelled = True
            if self._keeper is not None:
                self._tell(keeper.END)
                self._late = threading.Timer(self._grace + _PATIENCE, self.kill_keeper)
                self._late.daemon = True
                self._late.start()

    def kill(self) -> None:
        """End all of it at once; takes no lock, so a signal handler may call it at any time."""
        self.cancelled = True
        self._tell(keeper.KILL)

    def kill_keeper(self) -> None:
        """End a keeper that does nothing any more, and what can be ended without it."""
        if self._keeper is not None:
            self._keeper.kill()
        if self._leader is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._leader, signal.SIGKILL)

    def _start_keeper(self, told: Mapping[str, Any], output: int, *, reads: bool) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._keeper = subprocess.Popen(
                    [*_KEEPER, str(theirs.fileno())],
                    cwd="/",
                    env={},  # without the marks by which others are found
                    stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C is not meant for it
                )
            except BaseException:
                ours.close()
                raise
        subreaper.own(self._keeper.pid)
        with contextlib.suppress(OSError):  # it has gone, and says nothing
            ours.sendall(_framed(marshal.dumps(dict(told))))
        self._link = ours

    def _follow(
        self, told: Mapping[str, Any], started: Callable[[], None], stdin: str | None
    ) -> int:
        """Listen to the keeper until all is over; answers the exit status."""
        for kind, word in self._lines():
            if kind == keeper.CANNOT:
                raise _not_started(word, told)
            if kind == keeper.RUNS:
                self._leader = int(word)
                started()
                self._feed(stdin)
            elif kind == keeper.ENDED:
                with self._lock:
                    self._status = int(word)
            elif kind == keeper.LEFT:
                self.left = tuple(map(int, word.split()))
            if kind in (keeper.OVER, keeper.LEFT) and self._status is not None:
                return self._status
        self.kill_keeper()
        raise KeeperLost("the process that keeps watch over it was killed")

    def _lines(self) -> Iterator[tuple[str, str]]:
        assert self._link is not None
        with (
            self._link.makefile("r", encoding="ascii", newline="\n") as lines,
            contextlib.suppress(OSError),
        ):
            for line in lines:
                if line.endswith("\n"):
                    yield line[0], line[1:-1]

    def _feed(self, text: str | None) -> None:
        """Write what the process reads first; one that ends before it has read is no error here."""
        assert self._keeper is not None
        if self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError), self._keeper.stdin as pipe:
                pipe.write((text or "").encode())

    def _over(self) -> None:
        """Let the keeper go; one that has not said its last word ends what is left by itself."""
        assert self._link is not None
        assert self._keeper is not None
        with self._lock:
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_RDWR)
            self._link.close()
            if self._late is not None:
                self._late.cancel()
        if self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.close()
        try:
            self._keeper.wait(self._grace + _PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill_keeper()
            self._keeper.wait()

    def _tell(self, word: bytes) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):  # it has gone
                self._link.sendall(word)


def _framed(told: bytes) -> bytes:
    return len(told).to_bytes(keeper.LENGTH, "big") + told


def _not_started(word: str, told: Mapping[str, Any]) -> OSError:
    """What kept a program from starting, as `subprocess` would raise it."""
    number, _, what = word.partition(" ")
    return OSError(
        int(number), os.strerror(int(number)), told["argv"][0] if what == "program" else told["cwd"]
    )
