"""The warm process of `dbtorch serve`: has dbt imported, and makes runs that have a worker at hand.

On request it makes a process for a run (`run`), which makes one more, a copy with dbt imported
(`stand_by`), and then executes `dbtorch run …` in its own place. So the copy is a child of the run
that uses it, as a worker is that the run starts itself; and the run, whose maker has ended at once,
is a child of the server, which adopts orphans. One thread, no connection, no file of the project.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import random
import resource
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from . import main as worker
from .rehearsal import (
    Rehearsal,
    import_dbt,
    installed,
    refuse_what_cannot_be_copied,
    stamp_of,
)
from .scrubbing import scrub

#: Bytes of a request.
MAX_BYTES = 150_000

#: Variable that tells a run of its worker: file descriptor and process id.
STANDBY = "DBTORCH_STANDBY"

#: Variable that names the run, as `processes/reaping.py` looks for it in `/proc`; and the room that
#: its value has there.
RUN, ROOM = "DBTORCH_RUN_ID", 128

#: Variables in which a run may differ from its server: nothing reads these while dbt is imported.
_OWN = ("DBTORCH_", "DBT_RUN_STARTED_AT")

#: Seconds between two looks at the parse that dbt keeps, and at what is installed.
_LOOK_EVERY, _INSTALLED_EVERY = 1.0, 15.0

#: `prctl(2)`
_PR_SET_PDEATHSIG = 1

Request = dict[str, Any]


def main(fd: int) -> None:
    """Get warm, say so, and make runs until the server has gone."""
    server = os.getppid()
    _end_with_parent()
    os.environ.pop(RUN, None)
    link = socket.socket(fileno=fd)
    link.set_inheritable(False)
    warm = Warm(link, json.loads(link.recv(MAX_BYTES)))
    if os.getppid() != server:
        os._exit(0)
    try:
        why = warm.up()
    except Exception as error:
        warm.say("cannot", why=scrub(f"{type(error).__name__}: {error}"))
        os._exit(1)
    warm.say("ready", why=scrub(why), megabytes=_megabytes())
    request, files = warm.next_run()
    standby = run(request, files, warm.environ)  # returns in the worker of the run alone
    warm.stand_by(standby)


class Warm:
    """What is warm, and whether it still is what would be imported now."""

    def __init__(self, link: socket.socket, settings: Request) -> None:
        self._link = link
        self._rehearsal = Rehearsal(settings["args"])
        self._python = settings["python"]
        self.environ = dict(os.environ)
        self._installed: dict[str, Any] = {}
        self._served = False  # a run since the last look

    def say(self, what: str, **fields: Any) -> None:
        """Tell the server something."""
        self._link.send(json.dumps({"type": what, **fields}).encode())

    def up(self) -> str:
        """Import dbt and read the project; answers what kept it from reading. Raises `NotWarm`."""
        gc.disable()
        import_dbt()
        why = self._rehearsal.read_project()
        self._installed = installed()
        self._settle()
        return why

    def _settle(self) -> None:
        self._rehearsal.refresh()
        refuse_what_cannot_be_copied()
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # looking through all of it would make a copy of it in every worker

    def next_run(self) -> tuple[Request, list[int]]:
        """Be a server of runs until nobody wants any more; returns in each run that is made."""
        look_at = time.monotonic() + _INSTALLED_EVERY
        while True:
            if not select.select([self._link], [], [], _LOOK_EVERY)[0]:
                self._stay_warm()
                if self._served or time.monotonic() >= look_at:
                    self._leave_if_stale()
                    look_at = time.monotonic() + _INSTALLED_EVERY
                self._served = False
                continue
            content, files, _, _ = socket.recv_fds(self._link, MAX_BYTES, 2)
            if not content:
                os._exit(0)
            pid = orphan()
            if pid == 0:
                return json.loads(content), files
            for file in files:
                os.close(file)
            self.say("made", pid=pid, number=json.loads(content)["number"])
            self._served = True

    def _stay_warm(self) -> None:
        """Have what dbt keeps now; and the project, if it could not be read, and may be now."""
        if not self._rehearsal.is_behind and (self._rehearsal.done or not self._served):
            return
        self.say("busy")
        why = "" if self._rehearsal.done else self._rehearsal.read_project()
        self._settle()
        self.say("ready", why=scrub(why), megabytes=_megabytes())

    def _leave_if_stale(self) -> None:
        if installed_now(self._installed) != self._installed:
            self.say("stale")
            os._exit(0)

    def stand_by(self, standby: socket.socket) -> NoReturn:
        """Wait for the run to say what it wants of its worker, and be that."""
        is_stale = installed_now(self._installed) != self._installed
        content, files, _, _ = socket.recv_fds(standby, MAX_BYTES, 2)
        if not content:
            os._exit(0)
        asked = json.loads(content)
        why = "another dbt or dbtorch was installed" if is_stale else self.refused(asked)
        if why:
            standby.send(json.dumps({"refused": why}).encode())
            os._exit(0)
        output, channel = files
        try:
            os.chdir(asked["cwd"])
        except OSError as error:
            standby.send(json.dumps({"refused": str(error)}).encode())
            os._exit(0)
        for number in (1, 2):
            os.dup2(output, number)
        os.close(output)
        _become(asked["environ"])
        self._rehearsal.hand_over()
        standby.send(b"{}")
        standby.close()
        worker.main(channel)
        os._exit(0)

    def refused(self, asked: Request) -> str:
        """Why a worker of this process would not be the one that the run would start, if so."""
        if asked["python"] != self._python:
            return "the run uses another interpreter"
        if _given(asked["environ"]) != _given(self.environ):
            return "the run has another environment"
        return ""


def installed_now(before: dict[str, Any]) -> dict[str, Any]:
    """The same of these files now."""
    return {path: stamp_of(path) for path in before}


def orphan() -> int:
    """As `os.fork`; but the new process is nobody's child, and so that of who adopts orphans."""
    told, tell = os.pipe()
    maker = os.fork()
    if maker:
        os.close(tell)
        os.waitpid(maker, 0)
        with os.fdopen(told) as words:
            return int(words.read() or -1)
    os.close(told)
    pid = os.fork()
    if pid:
        os.write(tell, b"%d" % pid)
        os._exit(0)
    os.close(tell)
    return 0


def run(request: Request, files: list[int], environ: dict[str, str]) -> socket.socket:
    """Execute a run in this process, and return in a copy of it that is to be its worker."""
    output, go = files
    os.setsid()
    if not os.read(go, 1):  # the server has lost patience, or cannot be this process's parent
        os._exit(0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nothing = os.open(os.devnull, os.O_RDWR)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for number in range(3):
            os.dup2(nothing, number)
        _close_all_but({0, 1, 2, theirs.fileno()})
        theirs.send(b"here")  # leads its session
        return theirs
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    number = ours.detach()
    _close_all_but({0, 1, 2, number})
    os.set_inheritable(number, True)
    for one in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(one, signal.SIG_DFL)
    environ = {**environ, **request["environ"], STANDBY: f"{number}:{pid}"}
    try:
        os.execvpe(request["argv"][0], request["argv"], environ)  # noqa: S606
    except OSError as error:
        os.write(2, f"{request['argv'][0]}: {error.strerror}\n".encode())
    os._exit(127)


def _become(environ: dict[str, str]) -> None:
    """Have this environment, and be found by the run's name."""
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    random.seed()
    numbers: Any = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
    with contextlib.suppress(Exception):  # it helps who looks for what a dead run has left
        _show(environ.get(RUN, ""))


def _show(run_id: str) -> None:
    """Let `/proc/PID/environ` name the run, where room was left for it."""
    shown = Path("/proc/self/environ").read_bytes()
    at = shown.index(f"{RUN}=".encode()) + len(RUN) + 1
    stat = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start = int(stat[47])  # env_start, by `proc(5)`
    word = os.fsencode(run_id)
    if len(word) < ROOM:
        ctypes.memmove(start + at, word.ljust(ROOM, b"\0"), ROOM)


def _given(environ: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in environ.items() if not name.startswith(_OWN)}


def _close_all_but(kept: set[int]) -> None:
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number not in kept:
            with contextlib.suppress(OSError):  # what listed them
                os.close(number)


def _end_with_parent() -> None:
    """Be killed when the server's main thread ends; copies of this process are not."""
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
