"""Where the files of a run are."""

from __future__ import annotations

import re
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")

#: Longest name of a folder that is a node's id as it is.
_LONGEST = 150


class RunFiles:
    """The folder of a run: ``.dbtorch/runs/<run_id>/``."""

    def __init__(self, project_dir: Path, run_id: str) -> None:
        self.root = project_dir / ".dbtorch" / "runs" / run_id

    @property
    def dbt_log(self) -> Path:
        """What dbt prints."""
        return self.root / "dbt.log"

    def path(self, node_id: str, number: int) -> Path:
        """The log of one attempt, whether or not it exists."""
        return self.root / "nodes" / _file_safe(node_id) / f"{number}.log"

    def log(self, node_id: str, number: int) -> Path:
        """The log of one attempt, to be written; its folder exists."""
        path = self.path(node_id, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _file_safe(node_id: str) -> str:
    """A name that every file system takes; one that was changed is kept apart by a digest."""
    name = _UNSAFE.sub("_", node_id)
    if name == node_id and len(name) <= _LONGEST and name.strip("."):
        return name
    import hashlib  # takes longer to import than a log to show

    digest = hashlib.sha256(node_id.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 10]}-{digest}"
