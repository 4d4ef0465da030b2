"""What a process prints, in gulps: many lines at once where it prints many.

Each gulp is one turn of the run's loop, and one write to the history. Line by line, a dbt that
prints thousands a second would share its cores with as many turns.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

#: Bytes that a gulp may have, which is what a pipe holds at most.
MOST = 1024 * 1024

#: Seconds between two gulps; what a dbt says is known that much later.
_EVERY = 0.05


def gulps(process: subprocess.Popen[bytes]) -> Iterator[list[bytes]]:
    """Lines of its standard output, since the last time, until it has closed that."""
    assert process.stdout is not None
    rest = b""
    while chunk := os.read(process.stdout.fileno(), MOST):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield lines
        time.sleep(_EVERY)
    if rest:
        yield [rest]
