"""A process with dbt imported and the project read, of which runs are made that need not do so.

Whatever it cannot do, or not at once, is done as ever: by a process that is started.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dbtorch.adapters.dbt.bootstrap import bootstrap
from dbtorch.adapters.processes import subreaper
from dbtorch.adapters.processes.adopted import AdoptedProcess, is_child
from dbtorch.adapters.processes.reaping import RUN
from dbtorch.schedule.log import Log
from dbtorch.service.wiring.warm import WarmRequest

#: Words that start it, but for the number of its socket.
_WARM = bootstrap("warm", "main(int(sys.argv[1]))")

#: Seconds within which it makes a run, or one is started.
_PATIENCE = 1.0

#: Runs in a row that one may not make that is to stay.
_MISSED = 3

#: How many may end before they were of use, or soon; and seconds before another one is started,
#: times these.
_TRIES, _PAUSE = 3, 10.0

#: Seconds after which one was of use.
_SOUND = 60.0

#: Bytes of what it says, and characters that its copies have room for to name their run.
_MAX_BYTES, _ROOM = 150_000, 128


class Warm:
    """The warm process of a scheduler, replaced when it ends. Used by one thread, the main one."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._request: WarmRequest | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._began = 0.0
        self._ready = False  # for a run
        self._warm = False  # it was ready once
        self._failures = 0
        self._again = 0.0  # when another one may be started
        self._number = 0  # of the last run that was asked for
        self._missed = 0  # runs in a row that it has not made in time

    @property
    def ready(self) -> bool:
        """Whether a run could be made of it now."""
        return self._ready

    @property
    def pid(self) -> int | None:
        """Its process id, while there is one."""
        return None if self._process is None else self._process.pid

    def use(self, request: WarmRequest | str) -> None:
        """Be warm for this from now on; a text says why there is nothing to be warm for."""
        if isinstance(request, WarmRequest) and not _can():
            request = "only Linux can copy processes so"
        if isinstance(request, str):
            if self._request is not None or self._began == 0.0:
                self._log.write("warm_worker_off", message=request)
            self._began = time.monotonic()
            self.close()
            self._request = None
        elif request != self._request or self._failures >= _TRIES:
            self.close()
            self._request, self._failures, self._again = request, 0, 0.0
            self.look()

    def look(self) -> None:
        """Hear what it has said, and start another one in its place when it has ended."""
        subreaper.bury()
        while self._link is not None and select.select([self._link], [], [], 0)[0]:
            self._hear()
        may = self._failures < _TRIES and time.monotonic() >= self._again
        if self._process is None and self._request is not None and may:
            self._start(self._request)

    def start(
        self, argv: Sequence[str], environ: Mapping[str, str], output: int
    ) -> AdoptedProcess | None:
        """A run with a worker at hand, which prints to ``output``; None where one must be started.

        ``environ`` is what its environment has beside the server's.
        """
        self.look()
        if not self._ready or self._link is None:
            return None
        self._number += 1
        asked = json.dumps(
            {"number": self._number, "argv": list(argv), "environ": dict(environ)}
        ).encode()
        hold, go = os.pipe()
        try:
            with contextlib.suppress(OSError):
                socket.send_fds(self._link, [asked], [output, hold])
                pid = self._made()
                if pid is not None and is_child(pid):
                    subreaper.own(pid)
                    self._missed = 0
                    os.write(go, b"!")
                    return AdoptedProcess(pid)
        finally:
            os.close(hold)
            os.close(go)  # what is made nevertheless ends without having done anything
        self._missed += 1
        if self._missed >= _MISSED and self._link is not None:
            self._end("it makes no runs any more")
        return None

    def _made(self) -> int | None:
        """The process id of the run that was asked for, if it comes in time."""
        until = time.monotonic() + _PATIENCE
        while self._link is not None:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._link], [], [], left)[0]:
                return None
            pid = self._hear()
            if pid is not None:
                return pid
        return None

    def close(self) -> None:
        """End it; runs that were made of it go on."""
        if self._link is not None:
            self._link.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            subreaper.disown(self._process.pid)
        self._process, self._link, self._ready, self._warm = None, None, False, False

    # ---------------------------------------------------------------- the process

    def _start(self, request: WarmRequest) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._began = time.monotonic()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [request.python, *_WARM, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**request.environ, RUN: "." * _ROOM},
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                self._failed(str(error))
                return
        subreaper.own(self._process.pid)
        self._link = ours
        told = {"python": request.python, "args": request.args}
        with contextlib.suppress(OSError):  # it has gone, and `look` finds that
            ours.send(json.dumps(told).encode())

    def _hear(self) -> int | None:
        """Take one message; answers the process id of a run that was made."""
        assert self._link is not None
        said: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(self._link.recv(_MAX_BYTES) or b"{}")
        match said.get("type"):
            case "made":
                return int(said["pid"]) if said["number"] == self._number else None
            case "ready":
                self._is_ready(said)
            case "busy":
                self._ready = False
            case "stale":
                self._end("another dbt or dbtorch was installed", level="info")
            case "cannot":
                self._failed(str(said.get("why")))
            case _:
                self._end("it was killed" if self._warm else "it ended before it was warm")
        return None

    def _is_ready(self, said: Mapping[str, Any]) -> None:
        first, self._ready, self._warm = not self._warm, True, True
        if not first:
            return
        took = round(time.monotonic() - self._began, 3)
        why = {"message": f"the project is not read yet: {said['why']}"} if said["why"] else {}
        self._log.write(
            "warm_worker_ready", pid=self.pid, seconds=took, megabytes=said["megabytes"], **why
        )

    def _end(self, why: str, *, level: str = "warning") -> None:
        """Do without it; another one is started, unless they end again and again."""
        if not self._warm:
            self._failed(why)
            return
        self._log.write("warm_worker_ended", level=level, pid=self.pid, message=why)
        now = time.monotonic()
        if now - self._began >= _SOUND:
            self._failures = 0
        self._again = now + _PAUSE * self._failures
        self._failures += 1
        self.close()

    def _failed(self, why: str) -> None:
        self.close()
        self._failures += 1
        self._again = time.monotonic() + _PAUSE * self._failures
        what = f"runs start without: {why}"
        self._log.write("warm_worker_failed", level="warning", message=what)


def _can() -> bool:
    return sys.platform == "linux" and subreaper.adopts()
