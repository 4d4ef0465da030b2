"""The id of a run, and where its files are."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from dbtorch.core.model.events import Attempt

#: When a run began, in its first execution: dbt 2 takes ``run_started_at`` from it, and our worker
#: and teller let dbt 1 do so.
STARTED = "DBT_RUN_STARTED_AT"

#: Folder of all runs, in dbtorch's own.
RUNS = "runs"

#: Where the windows of microbatch models end, when that is not where the run began.
WINDOW_END = "DBTORCH_DATA_INTERVAL_END"

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")

#: Longest part of a file's name that is a node's id as it is.
_LONGEST = 150


def new_run_id() -> str:
    """The time, so that runs sort by it, and something that no other run has."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.urandom(3).hex()}"


class RunFiles:
    """The folder of a run: ``runs/<run_id>/`` in dbtorch's folder (`state_dir`)."""

    def __init__(self, state_dir: Path, run_id: str) -> None:
        self.root = state_dir / RUNS / run_id
        self._nodes = self.root / "nodes"  # one for all: dbt 2 looks into every folder of a project
        self._made = False

    @property
    def dbt_log(self) -> Path:
        """What dbt prints."""
        return self.root / "dbt.log"

    def private(self, name: str) -> Path:
        """What the history must not have as it is; nobody but the owner may read it."""
        return self.root / "private" / f"{file_safe(name)}.json"

    def path(self, node_id: str, number: int) -> Path:
        """The log of one attempt, whether or not it exists."""
        return self._nodes / f"{file_safe(node_id)}.{number}.log"

    def log(self, attempt: Attempt) -> Path:
        """The log of one attempt, to be written; its folder exists."""
        if not self._made:
            self._nodes.mkdir(parents=True, exist_ok=True)
            self._made = True
        return self.path(attempt.node_id, attempt.number)


def log_name(path: Path) -> str:
    """What the log of an attempt is called within the files of its run, by its path."""
    return f"nodes/{path.name}"


def file_safe(node_id: str) -> str:
    """A name that every file system takes; one that was changed is kept apart by a digest."""
    name = _UNSAFE.sub("_", node_id)
    if name == node_id and len(name) <= _LONGEST and name.strip("."):
        return name
    import hashlib  # takes longer to import than a log to show

    digest = hashlib.sha256(node_id.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 10]}-{digest}"
