"""What a process prints, in gulps: many lines at once where it prints many.

Each gulp is one turn of the run's loop, and one write to the history. Line by line, a dbt that
prints thousands a second would share its cores with as many turns.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator

from dbtorch.adapters.dbt.process.pipes import MOST

#: Seconds between two gulps; what a dbt says is known that much later, but for its end.
_EVERY = 0.25

#: The same, where all that is left may be done sooner than that.
_SOON = 0.04


def gulps(
    process: subprocess.Popen[bytes], left: Callable[[], int] = lambda: 0
) -> Iterator[list[bytes]]:
    """Lines of its standard output, since the last time, until it has closed that.

    ``left`` is how many things it has to do still. By how many it did since the last time, the next
    gulp is when it may be done with them: dbt takes a tenth of a second to leave after that, in
    which they can be written to the history.
    """
    assert process.stdout is not None
    rest, output = b"", process.stdout.fileno()
    end = select.poll()
    end.register(output, 0)  # reports nothing but that the other side has closed it
    at, before = time.monotonic(), left()
    while chunk := os.read(output, MOST):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield lines
        now, todo = time.monotonic(), left()
        patience = _patience(before - todo, now - at, todo)
        at, before = now, todo
        end.poll(patience * 1000)
    if rest:
        yield [rest]


def _patience(done: int, seconds: float, left: int) -> float:
    """Seconds until the next gulp, where so many were done in so many seconds."""
    if done <= 0 or left <= 0:
        return _EVERY
    return min(_EVERY, max(_SOON, left * seconds / done))
