"""The id of a run, and its folder.

Imports nothing that takes its time, for what is started before all.
"""

from __future__ import annotations

import os
import time


def new_run_id() -> str:
    """The time, so that runs sort by it, and something that no other run has."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.urandom(3).hex()}"


def run_folder(project_dir: str | os.PathLike[str], run_id: str) -> str:
    """``.dbtorch/runs/<run_id>``."""
    return os.path.join(project_dir, ".dbtorch", "runs", run_id)
