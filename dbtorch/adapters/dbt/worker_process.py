"""One worker process, and the thread that reads what it says."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.bootstrap import bootstrap
from dbtorch.adapters.dbt.messages import MAX_BYTES, Garbled, Message, read
from dbtorch.adapters.turns import InFront
from dbtorch.ports import EngineError

__all__ = ["Message", "Start", "Worker", "last_words"]

log = logging.getLogger(__name__)

#: Seconds between the last word of a worker and its end.
_PATIENCE = 5.0

#: Words that start the worker, but for the number of its socket.
_WORKER = bootstrap("main", "main(int(sys.argv[1]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How to start a worker."""

    python: str  # interpreter that has dbt
    cwd: Path
    environ: Mapping[str, str]
    console: Path  # what dbt prints


class Worker:
    """One worker process and the thread that reads what it says."""

    def __init__(
        self,
        start: Start,
        on_message: Callable[[Worker, Message], None],
        on_death: Callable[[Worker, str], None],
    ) -> None:
        output = _opened(start.console)
        ours, theirs = socket.socketpair()
        with theirs, output as console:
            try:
                with InFront():
                    self._process = subprocess.Popen(
                        [start.python, *_WORKER, str(theirs.fileno())],
                        stdin=subprocess.DEVNULL,
                        stdout=console,
                        stderr=subprocess.STDOUT,
                        cwd=start.cwd,
                        env=dict(start.environ),
                        pass_fds=(theirs.fileno(),),
                        start_new_session=True,  # Ctrl-C is the supervisor's to answer
                    )
            except OSError as error:
                ours.close()
                raise EngineError(
                    f"cannot start {start.python}: {error.strerror}; "
                    "engine.python must name an interpreter that has dbt"
                ) from error
        self._socket = ours
        self._lock = threading.Lock()
        self.leaving = False
        args = (on_message, on_death)
        self._reader = threading.Thread(target=self._read, args=args, name="dbt", daemon=True)
        self._reader.start()
        threading.Thread(target=self._watch, name="dbt-end", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._process.pid

    def send(self, type: str, **fields: Any) -> None:
        """Send one message; safe from any thread."""
        line = json.dumps({"type": type, **fields}, default=str).encode() + b"\n"
        try:
            with self._lock:
                self._socket.sendall(line)
        except OSError:
            pass  # it is dead: its reader says so

    def leave(self, *, patience: float) -> None:
        """Ask the worker to go, then make it."""
        self.leaving = True
        self.send("close")
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join(5)

    def kill(self) -> None:
        """End it and everything it started, at once."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left
        self._process.wait()

    def _read(
        self,
        on_message: Callable[[Worker, Message], None],
        on_death: Callable[[Worker, str], None],
    ) -> None:
        how = ""
        try:
            with self._socket.makefile("rb") as lines:
                for line in _lines(lines):
                    on_message(self, read(line))
        except Garbled as error:
            how = f"it sent what is no message: {error}"
            self.kill()
        except OSError:
            self.kill()
        except Exception:
            log.exception("a message of the dbt worker was not understood")
            self.kill()
        status = self._ended()
        if not self.leaving:
            self.kill()
        self._socket.close()
        on_death(self, how or _how_it_ended(status))

    def _ended(self) -> int:
        """Its exit status; one that says no more and stays is made to go."""
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def _watch(self) -> None:
        """Let the reader end with the worker: a process that a model left behind may hold on to
        the other end of the socket.
        """
        self._process.wait()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)


def _opened(console: Path) -> io.BufferedWriter:
    try:
        console.parent.mkdir(parents=True, exist_ok=True)
        return console.open("ab")
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
        lines = console.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"dbt ended before it had read the project ({how}): {last or 'it said nothing'}"
