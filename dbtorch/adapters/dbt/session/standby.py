"""A worker process that is there before anybody wants it: dbt is imported, and the project known.

The warm process of `dbtorch serve` (`dbtorch_worker/warm.py`) gives one to each run that it makes:
a child of that run, which waits at a socket. Where it refuses, or does not answer, the worker is
started as ever.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dbtorch.adapters.dbt.bootstrap import bootstrap
from dbtorch.adapters.processes.adopted import AdoptedProcess, is_child

log = logging.getLogger(__name__)

#: Words that start the worker, but for the number of its socket.
_WORKER = bootstrap("main", "main(int(sys.argv[1]))")

#: Seconds within which it answers, and bytes of what it is asked.
_PATIENCE, _MAX_BYTES = 5.0, 150_000


class WorkerProcess(Protocol):
    """A child process, as the session uses it."""

    @property
    def pid(self) -> int:
        """Its process id, which is that of its session and group as well."""

    @property
    def returncode(self) -> int | None:
        """Its exit status, once somebody has waited for it."""

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""

    def wait(self) -> int:
        """Its exit status, once it has ended."""


class Standby:
    """The worker at hand, if there is one; whoever wants another one starts it."""

    def __init__(self, said: str = "") -> None:
        """``said`` is what the warm process has told of it: file descriptor and process id."""
        self._said = said

    def start(
        self, python: str, *, cwd: Path, environ: Mapping[str, str], output: int, channel: int
    ) -> WorkerProcess:
        """A worker process, which prints to ``output`` and has the other end of ``channel``.

        Raises `OSError`.
        """
        said, self._said = self._said, ""
        if said:
            asked = {"python": python, "cwd": os.fspath(cwd.absolute()), "environ": dict(environ)}
            process = _taken(said, asked, [output, channel])
            if process is not None:
                return process
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


def _taken(said: str, asked: Mapping[str, object], files: list[int]) -> AdoptedProcess | None:
    """The one at hand, once it is what was asked for; None where it is of no use."""
    number, _, pid = said.partition(":")
    if not number.isdecimal() or not pid.isdecimal() or not is_child(int(pid)):
        return None
    process = AdoptedProcess(int(pid))
    try:
        with socket.socket(fileno=int(number)) as standby:
            why = _ask(standby, json.dumps(asked).encode(), files)
    except (OSError, ValueError) as error:
        why = f"it does not answer ({error})"
    if not why:
        return process
    log.info("a worker is started, as the one at hand cannot be used: %s", why)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()
    return None


def _ask(standby: socket.socket, asked: bytes, files: list[int]) -> str:
    """Ask it to begin; answers why it does not."""
    standby.set_inheritable(False)
    standby.settimeout(_PATIENCE)
    if len(asked) > _MAX_BYTES:
        return "the environment is too large"
    if not standby.recv(_MAX_BYTES):  # that it leads its session
        return "it has ended"
    socket.send_fds(standby, [asked], files)
    answer = standby.recv(_MAX_BYTES)
    return str(json.loads(answer).get("refused", "")) if answer else "it has ended"
