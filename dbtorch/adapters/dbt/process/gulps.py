"""What a process prints, in gulps: many lines at once where it prints many.

Each gulp is one turn of the run's loop, and one write to the history. Line by line, a dbt that
prints thousands a second would share its cores with as many turns.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator

from dbtorch.adapters.dbt.process.spawning import MOST

#: Seconds between two gulps; what a dbt says is known that much later, but for its end.
_EVERY = 0.25


def gulps(process: subprocess.Popen[bytes]) -> Iterator[list[bytes]]:
    """Lines of its standard output, since the last time, until it has closed that."""
    assert process.stdout is not None
    rest, output = b"", process.stdout.fileno()
    end = select.poll()
    end.register(output, 0)  # reports nothing but that the other side has closed it
    while chunk := os.read(output, MOST):
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield lines
        end.poll(_EVERY * 1000)
    if rest:
        yield [rest]
