"""One worker process, and the thread that reads what it says."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import queue
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.bootstrap import bootstrap
from dbtorch.adapters.dbt.session.messages import MAX_BYTES, Garbled, Message, read
from dbtorch.adapters.processes import subreaper
from dbtorch.adapters.processes.group import kill_group, reap
from dbtorch.adapters.processes.output import Output
from dbtorch.core.errors import EngineError
from dbtorch.core.failures.scrub import Scrubber

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.session.open_request import SessionRequest
    from dbtorch.adapters.dbt.session.standby import WorkerProcess

__all__ = ["Message", "Worker", "last_words"]

log = logging.getLogger(__name__)

#: Words that start a worker, but for the number of its socket.
_WORKER = bootstrap("main", "main(int(sys.argv[1]))")

#: Seconds between the last word of a worker and its end.
_PATIENCE = 5.0

#: Bytes at the end of what a worker printed in which its last line is looked for.
_LAST_WORDS = 65_536


class Worker:
    """One worker process and the thread that reads what it says."""

    def __init__(
        self,
        request: SessionRequest,
        on_message: Callable[[Message], None],
        on_death: Callable[[str, bool], None],
        *,
        standby: str = "",
    ) -> None:
        """``on_death`` is told how it ended, and whether by a signal, so that another may live.

        ``standby`` tells of one that is at hand. Raises `EngineError`.
        """
        self._output = _opened(request.console, request.hide)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = start_process(
                    request.python,
                    cwd=request.cwd,
                    environ={**request.environ, **subreaper.asked_of_dbt()},
                    output=self._output.fd,
                    channel=theirs.fileno(),
                    standby=standby,
                )
            except OSError as error:
                ours.close()
                raise EngineError(
                    f"cannot start {request.python}: {error.strerror}; "
                    "engine.python must name an interpreter that has dbt"
                ) from error
            finally:
                self._output.handed_over()
        subreaper.own(self._process.pid)
        self._socket = ours
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._gone = threading.Event()
        args = (on_message, on_death)
        self._reader = threading.Thread(target=self._read, args=args, name="dbt", daemon=True)
        self._writer = threading.Thread(target=self._write, name="dbt-orders", daemon=True)
        watch = threading.Thread(target=self._watch, name="dbt-end", daemon=True)
        for thread in (self._reader, self._writer, watch):
            thread.start()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._process.pid

    def send(self, type: str, **fields: Any) -> None:
        """Send one message; safe from any thread, and never waits for a worker that does not read.

        What is sent to one that is dead goes nowhere: its reader says so.
        """
        line = json.dumps({"type": type, **fields}, default=str).encode() + b"\n"
        self._outgoing.put(line)

    def leave(self, *, patience: float) -> None:
        """Ask the worker to go, then make it."""
        self.send("close")
        if not self._gone.wait(patience):
            self.kill()
        self._reader.join(5)

    def kill(self) -> None:
        """End it and everything it started, at once. Takes no lock, for signal handlers."""
        if not self._gone.is_set():
            subreaper.kill_below(self._process.pid)
            kill_group(self._process.pid)

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (line := self._outgoing.get()) is not None:
                self._socket.sendall(line)

    def _read(
        self,
        on_message: Callable[[Message], None],
        on_death: Callable[[str, bool], None],
    ) -> None:
        how = ""
        try:
            with self._socket.makefile("rb") as lines:
                for line in _lines(lines):
                    on_message(read(line))
        except Garbled as error:
            how = f"it sent what is no message: {error}"
            self.kill()
        except OSError:
            self.kill()
        except Exception:
            log.exception("a message of the dbt worker was not understood")
            self.kill()
        status = self._ended()
        self._outgoing.put(None)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # who writes waits for nobody then
        self._writer.join()
        self._output.drain()
        self._socket.close()
        on_death(how or _how_it_ended(status), status < 0)

    def _ended(self) -> int:
        """Its exit status; one that says no more and stays is made to go."""
        if not self._gone.wait(_PATIENCE):
            self.kill()
            self._gone.wait()
        return self._process.wait()

    def _watch(self) -> None:
        """End what it leaves behind with it, and let the reader end.

        A process that a model has started may hold on to the other end of the socket.
        """
        reap(self._process)
        self._gone.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)


def _opened(console: Path, hide: Scrubber) -> Output:
    try:
        console.parent.mkdir(parents=True, exist_ok=True)
        return Output(console, hide)
    except OSError as error:
        raise EngineError(
            f"the log {console} cannot be written ({error.strerror}); "
            "make room, or give this user the right to"
        ) from error


def _lines(stream: io.BufferedReader) -> Iterator[bytes]:
    """Lines as they come, none longer than a message may be; not the half one a death leaves."""
    while line := stream.readline(MAX_BYTES):
        if line.endswith(b"\n") or len(line) >= MAX_BYTES:
            yield line


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def last_words(console: Path, how: str) -> str:
    """The end of what a worker printed that never got as far as opening."""
    try:
        with console.open("rb") as file:
            file.seek(max(0, console.stat().st_size - _LAST_WORDS))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"dbt ended before it had read the project ({how}): {last or 'it said nothing'}"


def start_process(
    python: str,
    *,
    cwd: Path,
    environ: Mapping[str, str],
    output: int,
    channel: int,
    standby: str = "",
) -> WorkerProcess:
    """A worker process, which prints to ``output`` and has the other end of ``channel``.

    It is the one that ``standby`` tells of, where that is of use. Raises `OSError`.
    """
    if standby:
        from dbtorch.adapters.dbt.session.standby import standby_worker  # few runs have one

        found = standby_worker(
            standby, python, cwd=cwd, environ=environ, output=output, channel=channel
        )
        if found is not None:
            return found
    return subprocess.Popen(
        [python, *_WORKER, str(channel)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(environ),
        pass_fds=(channel,),
        start_new_session=True,  # Ctrl-C is the supervisor's to answer
    )
