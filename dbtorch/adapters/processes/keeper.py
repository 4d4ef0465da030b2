"""Keeps one command and all that it starts together, so that nothing of it outlives it.

This is a process between a supervisor and what it has started. On Linux every orphan below it
becomes its child, whatever session, group or environment it has made itself; so it can end them
all, and does when the command has ended, before it says so, when it is told to, and when the
supervisor is no more. It imports little: each millisecond of it is one of every step.
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import time
from collections.abc import Mapping
from typing import Any

from dbtorch.adapters.processes.reaping import (
    SIGKILL,
    SIGTERM,
    adopt_orphans,
    below,
    group_of,
    lives,
)

#: What the supervisor says: end it with a grace, end it at once.
END, KILL = b"t", b"k"

#: How lines to the supervisor begin: it runs, it cannot be started, the command has ended, there
#: are processes that cannot be ended, nothing else is left.
RUNS, CANNOT, ENDED, LEFT, OVER = "+", "!", "-", "~", "="

#: Bytes that say how long what is to be done is.
LENGTH = 8

#: Seconds between two looks at what is ending, and after the grace until nothing more is tried.
_EVERY, _PATIENCE = 0.05, 5.0


def main(link: int) -> None:
    """Do what is said at a socket."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(link, False)
    told = _read(link, int.from_bytes(_read(link, LENGTH), "big"))
    if not told:
        return
    Keeper(link, marshal.loads(told)).keep()  # noqa: S302  # our own supervisor's words


class Keeper:
    """One command, from its start until nothing of it is left."""

    def __init__(self, link: int, told: Mapping[str, Any]) -> None:
        self._link = link
        self._told = told
        self._grace = float(told["grace"])
        self._leader = 0
        self._status: int | None = None
        self._kill_at: float | None = None  # none while nothing is to end
        self._ask = False  # whoever is there now
        self._asked: set[int] = set()
        self._alone = False  # the supervisor is no more
        self._adopts = adopt_orphans()

    def keep(self) -> None:
        """Start it, wait for its end, and end what it leaves."""
        wakes, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._start()
        while self._reap():
            self._end()
            self._wait(wakes)
        if self._alone:
            self._clean()

    def _start(self) -> None:
        theirs, ours = os.pipe()
        self._leader = os.fork()
        if self._leader == 0:
            _become(self._told, ours)
        os.close(ours)
        for number in (0, 1, 2):  # what is printed ends with the command
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        wrong = os.read(theirs, 64).decode()
        self._tell(f"{CANNOT}{wrong}" if wrong else f"{RUNS}{self._leader}")

    def _reap(self) -> bool:
        """Take note of who has ended; answers whether anybody is left."""
        while (found := _ended()) is not None:
            pid, status = found
            if pid == 0:
                return True
            if pid == self._leader:
                self._status = os.waitstatus_to_exitcode(status)
                self._tell(f"{ENDED}{self._status}")
                self._hurry(self._grace)
        if not self._adopts and lives(self._leader):
            return True
        self._tell(OVER)
        return False

    def _end(self) -> None:
        """Ask whoever is there, once; what they start to clean up has the grace, and is killed."""
        now = time.monotonic()
        late = self._kill_at is not None and now >= self._kill_at
        if self._kill_at is None or not (late or self._ask):
            return
        left = seen = below(os.getpid())
        whole = self._status is None or not self._adopts  # its number is nobody else's yet
        if whole and not late:
            # all at once: who is forked right now must not keep a shell from hearing it
            left = {pid for pid in left if group_of(pid) != self._leader} | {-self._leader}
        elif whole:
            left = left | {-self._leader}
        # older ones first: a shell whose child ends before it hears anything comes to its own end
        for target in sorted(left if late else left - self._asked):
            try:
                os.kill(target, SIGKILL if late else SIGTERM)
            except (ProcessLookupError, PermissionError):  # macOS says the latter of zombies
                continue
        self._ask = False
        self._asked |= left | seen
        if now > self._kill_at + _PATIENCE and self._status is not None:
            self._tell(LEFT + " ".join(str(abs(target)) for target in sorted(left)))
            os._exit(0)

    def _wait(self, wakes: int) -> None:
        """Wait for somebody's end, for a word, or a little where somebody is to end."""
        links = [] if self._alone else [self._link]
        while_ending = None if self._kill_at is None else _EVERY
        ready, _, _ = select.select([*links, wakes], [], [], while_ending)
        if wakes in ready:
            os.read(wakes, 1024)
        if self._link in ready:
            self._listen()

    def _listen(self) -> None:
        try:
            said = os.read(self._link, 64)
        except OSError:
            said = b""
        self._alone = not said
        self._hurry(0.0 if KILL in said else self._grace)

    def _hurry(self, grace: float) -> None:
        self._ask = True
        until = time.monotonic() + grace
        self._kill_at = until if self._kill_at is None else min(self._kill_at, until)

    def _tell(self, line: str) -> None:
        try:
            os.write(self._link, f"{line}\n".encode())
        except OSError:  # nobody listens, nor will say anything
            self._alone = True
            self._hurry(self._grace)

    def _clean(self) -> None:
        """Nobody is left who would take away what the command was told."""
        if self._told["scratch"]:
            import shutil

            shutil.rmtree(self._told["scratch"], ignore_errors=True)


def _ended() -> tuple[int, int] | None:
    """A child that has ended and how, no child but some are left, or None: there is none."""
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None


def _become(told: Mapping[str, Any], wrong: int) -> None:
    """In the child: become the command, or say why not."""
    place = "cwd"
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGPIPE", "SIGXFSZ")
        for number in (getattr(signal, name) for name in names):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(told["cwd"])
        place = "program"
        os.execvpe(told["argv"][0], told["argv"], told["env"])  # noqa: S606
    except OSError as error:
        os.write(wrong, f"{error.errno} {place}".encode())
    except BaseException:
        os.write(wrong, f"22 {place}".encode())  # EINVAL: a character that no name may have
    os._exit(127)


def _read(link: int, count: int) -> bytes:
    """So many bytes; none when there are not as many."""
    found = b""
    while len(found) < count:
        piece = os.read(link, count - len(found))
        if not piece:
            return b""
        found += piece
    return found
