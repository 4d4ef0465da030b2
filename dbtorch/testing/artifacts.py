"""A place for files of runs that is none but memory, and may be down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from dbtorch.ports.artifacts import ArtifactMissing, ArtifactsError


class MemoryArtifacts:
    """Implements `Artifacts`."""

    parallel = 1

    def __init__(self, url: str = "memory://runs/acme_shop") -> None:
        self.url = url
        self.files: dict[str, dict[str, bytes]] = {}  # run -> name -> content
        self.times: dict[str, datetime] = {}  # of runs
        self.down = ""  # why it answers nobody, while it does not

    def put(self, run_id: str, name: str, chunks: Iterable[bytes]) -> None:
        """Keep it."""
        self._answer()
        self.files.setdefault(run_id, {})[name] = b"".join(chunks)
        self.times[run_id] = datetime.now(UTC)

    def get(self, run_id: str, name: str, to: Path) -> None:
        """Write what was kept."""
        self._answer()
        try:
            to.write_bytes(self.files[run_id][name])
        except KeyError:
            raise ArtifactMissing(f"{self.url}/{run_id}/{name}: there is no such file") from None

    def sizes(self, run_id: str) -> Mapping[str, int]:
        """What was kept of a run."""
        self._answer()
        return {name: len(content) for name, content in self.files.get(run_id, {}).items()}

    def runs(self) -> list[str]:
        """All runs."""
        self._answer()
        return sorted(self.files)

    def written_at(self, run_id: str) -> datetime | None:
        """When something was kept last."""
        self._answer()
        return self.times.get(run_id)

    def remove(self, run_id: str) -> None:
        """Forget it."""
        self._answer()
        self.files.pop(run_id, None)
        self.times.pop(run_id, None)

    def _answer(self) -> None:
        if self.down:
            raise ArtifactsError(f"{self.url}: {self.down}")
