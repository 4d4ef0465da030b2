"""Starting a dbt process. Imports nothing that takes its time, for what is started before all."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Bytes that a pipe holds at most, as far as Linux lets everybody have them.
MOST = 1024 * 1024

#: The file that dbt writes its results to, and selects by.
RUN_RESULTS = "run_results.json"


def spawn(command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command as a process group; its standard output is to be read. Raises `OSError`."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import fcntl

        # or dbt would wait for who reads it
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, MOST)
    return process


def make_pipe(folder: Path) -> None:
    """Make a folder whose run_results.json is a named pipe.

    The pipe has another name, too: the first is soon a file's. Raises `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results, pipe = folder / RUN_RESULTS, folder / "pipe"
    for path in (results, pipe):
        path.unlink(missing_ok=True)
    os.mkfifo(pipe)
    os.link(pipe, results)
