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
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dbtorch.adapters.processes.adopted import AdoptedProcess, is_child

log = logging.getLogger(__name__)

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


def standby_worker(
    said: str, python: str, *, cwd: Path, environ: Mapping[str, str], output: int, channel: int
) -> WorkerProcess | None:
    """The worker at hand, once it is what was asked for; None where it is of no use.

    ``said`` is what the warm process has told of it: file descriptor and process id. It prints to
    ``output`` and has the other end of ``channel``.
    """
    asked = {"python": python, "cwd": os.fspath(cwd.absolute()), "environ": dict(environ)}
    number, _, pid = said.partition(":")
    if not number.isdecimal() or not pid.isdecimal() or not is_child(int(pid)):
        return None
    process = AdoptedProcess(int(pid))
    try:
        with socket.socket(fileno=int(number)) as standby:
            why = _ask(standby, json.dumps(asked).encode(), [output, channel])
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
