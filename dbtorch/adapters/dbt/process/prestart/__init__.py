"""Starting dbt before it is known what it is to build, behind one small interface.

dbt takes seconds to read a project, or to be imported, and needs no nodes for that. `Standby` has
one ready that does so; `ColdStart` beside it starts none, and then each build reads for itself:
that is for a dbt of which nothing is known, and a run comes to the same with either.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol


class Prestart(Protocol):
    """What may have a build ready."""

    @property
    def is_ahead(self) -> bool:
        """Whether there is one at all, so that nothing else has to read the project first."""
        ...

    def launch(self) -> None:
        """Get a build ready, for the first batch. Raises `EngineError`."""
        ...

    def prewarm(self) -> None:
        """The same for a batch to come; without it that takes longer, and that is all."""
        ...

    def build(self, folder: Path) -> subprocess.Popen[bytes] | None:
        """The build that is ready, which goes on with the nodes that are selected in a folder.

        None where there is none: start one. Raises `OSError` for a folder that cannot be read.
        """
        ...

    def close(self) -> None:
        """End what is ready; nothing will be any more."""
        ...


class ColdStart:
    """Has nothing ready."""

    is_ahead = False

    def launch(self) -> None:
        """Nothing is started ahead."""

    def prewarm(self) -> None:
        """Nothing is started ahead."""

    def build(self, _: Path) -> None:
        """There is none."""

    def close(self) -> None:
        """There is none."""
