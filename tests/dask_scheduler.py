"""The scheduler of a Dask cluster, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import wait_for

_ENVIRON = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}


@contextmanager
def dask_scheduler(folder: Path, port: int = 0) -> Iterator[str]:
    """One while it is entered; its address. A task whose worker dies is tried no second time."""
    told = folder / "scheduler.json"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--scheduler-file", str(told)]
    with (folder / "scheduler.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=_ENVIRON, stdout=log, stderr=log)
    try:
        wait_for(lambda: told.is_file() and told.read_text().endswith("}"))
        yield str(json.loads(told.read_text())["address"])
    finally:
        process.kill()
        process.wait()
