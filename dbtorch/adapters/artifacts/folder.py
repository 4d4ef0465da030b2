"""Files of runs in a folder: one that several machines have mounted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from dbtorch.ports.artifacts import ArtifactMissing, ArtifactsError


class FolderArtifacts:
    """Implements `Artifacts`: ``<folder>/<run id>/<name>``."""

    parallel = 1  # a disk is not faster for many

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = folder.as_uri()

    def put(self, run_id: str, name: str, chunks: Iterable[bytes]) -> None:
        """Write a draft, and put it into its place."""
        path = self._folder / run_id / name
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        with self._told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("wb") as out:
                    out.writelines(chunks)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)

    def get(self, run_id: str, name: str, to: Path) -> None:
        """Copy it."""
        path = self._folder / run_id / name
        with self._told(path):
            shutil.copyfile(path, to)

    def sizes(self, run_id: str) -> Mapping[str, int]:
        """Look at all files below the run's folder."""
        top = self._folder / run_id
        found = self._look(run_id)
        return {path.relative_to(top).as_posix(): stat.st_size for path, stat in found}

    def runs(self) -> list[str]:
        """The folders there are."""
        try:
            with self._told(self._folder):
                return sorted(one.name for one in self._folder.iterdir() if one.is_dir())
        except ArtifactMissing:
            return []

    def written_at(self, run_id: str) -> datetime | None:
        """The newest time of its files."""
        times = [stat.st_mtime for _, stat in self._look(run_id)]
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def remove(self, run_id: str) -> None:
        """Remove the run's folder."""
        path = self._folder / run_id
        with suppress(ArtifactMissing), self._told(path):
            shutil.rmtree(path)

    def _look(self, run_id: str) -> list[tuple[Path, os.stat_result]]:
        folder = self._folder / run_id
        try:
            with self._told(folder):
                found = os.walk(folder, onerror=_raise)
                files = [Path(top, name) for top, _, names in found for name in names]
                return [(path, path.stat()) for path in files if path.suffix != ".part"]
        except ArtifactMissing:
            return []

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ArtifactMissing(f"there is no {path}") from error
        except OSError as error:
            raise ArtifactsError(f"{path}: {error.strerror or error}") from error


def _raise(error: OSError) -> None:
    raise error
