"""The named pipe at which a dbt waits, and the pipe to which it prints.

Imports nothing that takes its time, for what is started before everything else.
"""

from __future__ import annotations

import os

#: Bytes that a pipe holds at most, as far as Linux lets everybody have them.
MOST = 1024 * 1024

#: The file that dbt writes its results to, and selects by.
RUN_RESULTS = "run_results.json"

#: The other name of one that is a named pipe.
PIPE = "pipe"


def widen(output: int) -> None:
    """Let a pipe hold as much as it may, or dbt would wait for who reads it."""
    try:
        import fcntl

        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, MOST)
    except (ImportError, OSError, AttributeError):  # only Linux has it, and not for everybody
        return


def make_pipe(folder: str | os.PathLike[str]) -> None:
    """Make a folder whose run_results.json is a named pipe.

    The pipe has another name, too: the first is soon a file's. Raises `OSError`.
    """
    os.makedirs(folder, exist_ok=True)
    results, pipe = os.path.join(folder, RUN_RESULTS), os.path.join(folder, PIPE)
    for path in (results, pipe):
        if os.path.lexists(path):
            os.unlink(path)
    os.mkfifo(pipe)
    os.link(pipe, results)
