"""Where dbts that are at work at the same time write, so that none overwrites another's files."""

from __future__ import annotations

import contextlib
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs

#: What dbt 1 has parsed; it parses everything where that is missing.
PARTIAL_PARSE = "partial_parse.msgpack"

#: What people look for in the target folder.
_KEPT = ("compiled", "run")


@dataclass(frozen=True, slots=True)
class TargetDirectory:
    """A target folder, and one for logs where that is not the project's own."""

    target_path: Path
    log_path: Path | None = None

    def words(self, words: DbtArgs) -> DbtArgs:
        """The same words for a dbt that writes here."""
        if self.log_path is None:
            return words
        paths = {"--target-path": str(self.target_path), "--log-path": str(self.log_path)}
        return words.with_values(paths)


class TargetDirectories:
    """The project's own place, and others for who comes while that is taken."""

    def __init__(self, own: TargetDirectory, folder: Path) -> None:
        """``folder`` is for the others."""
        self._own = own
        self._folder = folder
        self._others: list[TargetDirectory] = []
        self._taken: dict[int, TargetDirectory] = {}  # by the batch that writes there
        self._lock = threading.Lock()

    def take(self, batch: int, *, own: bool = True) -> TargetDirectory:
        """The first that is free, the project's ``own`` or not; in a new one is what dbt parsed."""
        with self._lock:
            known = [self._own] * own + self._others
            taken = self._taken.values()
            place = next((one for one in known if one not in taken), None) or self._another()
            self._taken[batch] = place
            return place

    def of(self, batch: int) -> TargetDirectory:
        """Where a batch writes, which has taken a place."""
        with self._lock:
            return self._taken[batch]

    def leave(self, batch: int) -> None:
        """A batch writes no more. What was compiled is put where people look for it."""
        with self._lock:
            place = self._taken.get(batch)
        if place is None:
            return
        with contextlib.suppress(OSError, shutil.Error):  # it is for reading only
            for name in _KEPT if place is not self._own else ():
                if (place.target_path / name).is_dir():
                    found = place.target_path / name
                    shutil.copytree(found, self._own.target_path / name, dirs_exist_ok=True)
                    shutil.rmtree(found)
        with self._lock:
            del self._taken[batch]

    def close(self) -> None:
        """Remove what is of no more use."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _another(self) -> TargetDirectory:
        folder = self._folder / str(len(self._others) + 1)
        place = TargetDirectory(folder / "target", folder / "logs")
        place.target_path.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            shutil.copyfile(
                self._own.target_path / PARTIAL_PARSE, place.target_path / PARTIAL_PARSE
            )
        self._others.append(place)
        return place
