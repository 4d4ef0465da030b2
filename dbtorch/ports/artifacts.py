"""What keeps files of runs where every machine can read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol


class Artifacts(Protocol):
    """Files of the runs of one project, by the run's id and a name such as ``nodes/a.1.log``.

    Every method may wait for a network, and raises `ArtifactsError` where that answers no.
    """

    @property
    def url(self) -> str:
        """Where the project's runs are, without secrets and without a slash at the end."""

    @property
    def parallel(self) -> int:
        """Threads that may use it at once."""

    def put(self, run_id: str, name: str, chunks: Iterable[bytes]) -> None:
        """Keep a file, in the place of an earlier one; whole or not at all."""

    def get(self, run_id: str, name: str, to: Path) -> None:
        """Write a file's bytes to a path whose folder exists. Raises `ArtifactMissing`."""

    def sizes(self, run_id: str) -> Mapping[str, int]:
        """Names of a run's files, and how many bytes each has; empty for a run without any."""

    def runs(self) -> list[str]:
        """Ids of the runs that there are files of."""

    def written_at(self, run_id: str) -> datetime | None:
        """When the newest file of a run was written; None where nobody can say."""

    def remove(self, run_id: str) -> None:
        """Remove all files of a run; none is fine."""


class ArtifactsError(Exception):
    """Files cannot be kept or read; the text says why in one sentence, without secrets."""


class ArtifactMissing(ArtifactsError):
    """There is no such file."""
