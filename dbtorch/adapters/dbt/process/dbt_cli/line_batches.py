"""What a process prints, in batches: many lines at once where it prints many.

Each batch is one turn of the run's loop, and one write to the history. Line by line, a dbt that
prints thousands a second would share its cores with as many turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import time
from collections.abc import Iterator

from dbtorch.adapters.dbt.process.dbt_cli.event_lines import MAX_BYTES
from dbtorch.adapters.processes.group import has_ended

#: Bytes that a pipe holds at most, as far as Linux lets everybody have them.
_MOST = 1024 * 1024

#: Seconds between two batches; what a dbt says is known that much later, but for its end.
_EVERY = 0.25

#: Seconds that are read on after a process has ended, where somebody else holds its pipe, and
#: writes.
_AFTERWARDS = 1.0


def line_batches(process: subprocess.Popen[bytes]) -> Iterator[list[bytes]]:
    """Lines of its standard output, until it has closed that, or has ended.

    What it has started may hold the pipe much longer.
    """
    assert process.stdout is not None
    pipe, rest = process.stdout.fileno(), _Rest()
    until: float | None = None  # it has ended, and is read no longer than this
    while until is None or time.monotonic() < until:
        if until is None and has_ended(process):
            until = time.monotonic() + _AFTERWARDS
        if _poll(pipe, select.POLLIN, _EVERY if until is None else 0.0):
            chunk = os.read(pipe, _MOST)
            if not chunk:
                break
            if lines := rest.lines(chunk):
                yield lines
            if until is None:
                _poll(pipe, 0, _EVERY)  # or until nobody writes any more
        elif until is not None:
            break
    if last := rest.last():
        yield [last]


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """The same line by line."""
    for lines in line_batches(process):
        yield from lines


def widen(output: int) -> None:
    """Let a pipe hold as much as it may, or dbt would wait for who reads it."""
    with contextlib.suppress(OSError, AttributeError):  # only Linux has it, and not for everybody
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _MOST)


def _poll(pipe: int, events: int, seconds: float) -> int:
    """What has happened to the pipe within some seconds: one of the events, or its end."""
    poll = select.poll()
    poll.register(pipe, events)
    return dict(poll.poll(seconds * 1000)).get(pipe, 0) & ~select.POLLNVAL


class _Rest:
    """A line that has not ended yet; of one that is too long to be read, its beginning."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def lines(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk."""
        first, *others = chunk.split(b"\n")
        self._add(first)
        if not others:
            return []
        found = [self.last(), *others[:-1]]
        self._add(others[-1])
        return found

    def last(self) -> bytes:
        """All there is of it."""
        found = b"".join(self._parts)
        self._parts, self._size = [], 0
        return found

    def _add(self, part: bytes) -> None:
        room = MAX_BYTES + 1 - self._size
        if part and room > 0:
            self._parts.append(part[:room])
            self._size += len(self._parts[-1])
