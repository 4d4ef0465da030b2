"""Where the files of a run are."""

from __future__ import annotations

import re
from pathlib import Path

from dbtorch.adapters.run_folder import run_folder

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")

#: Longest part of a file's name that is a node's id as it is.
_LONGEST = 150


class RunFiles:
    """The folder of a run: ``.dbtorch/runs/<run_id>/``."""

    def __init__(self, project_dir: Path, run_id: str) -> None:
        self.root = Path(run_folder(project_dir, run_id))
        self._nodes = self.root / "nodes"  # one for all: dbt 2 looks into every folder of a project
        self._made = False

    @property
    def dbt_log(self) -> Path:
        """What dbt prints."""
        return self.root / "dbt.log"

    def path(self, node_id: str, number: int) -> Path:
        """The log of one attempt, whether or not it exists."""
        return self._nodes / f"{_file_safe(node_id)}.{number}.log"

    def log(self, node_id: str, number: int) -> Path:
        """The log of one attempt, to be written; its folder exists."""
        if not self._made:
            self._nodes.mkdir(parents=True, exist_ok=True)
            self._made = True
        return self.path(node_id, number)


def _file_safe(node_id: str) -> str:
    """A name that every file system takes; one that was changed is kept apart by a digest."""
    name = _UNSAFE.sub("_", node_id)
    if name == node_id and len(name) <= _LONGEST and name.strip("."):
        return name
    import hashlib  # takes longer to import than a log to show

    digest = hashlib.sha256(node_id.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 10]}-{digest}"
