"""The log of an attempt that another machine has made: fetched when somebody reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.adapters.run_files import log_name
from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.core.errors import UsageError
from dbtorch.core.failures.message import one_line
from dbtorch.ports.artifacts import ArtifactMissing, Artifacts, ArtifactsError

if TYPE_CHECKING:
    from dbtorch.service.history.logs import AttemptLog

#: Seconds between two looks for a log that is followed, and looks before nobody waits any more:
#: it is uploaded a moment after its attempt has ended.
_EVERY, _LOOKS = 1.0, 20


class RemoteLog:
    """Logs of one run at ``--artifacts-url``."""

    def __init__(
        self,
        artifacts: Artifacts,
        run_id: str,
        project_dir: Path,
        environ: Mapping[str, str],
        pause: Callable[[float], None] | None,
    ) -> None:
        """``pause`` waits for some seconds, where it is to be waited for what is yet to come."""
        self._artifacts = artifacts
        self._run_id = run_id
        self._project_dir = project_dir
        self._environ = environ
        self._pause = pause

    def url(self, path: Path) -> str:
        """Where a log is that would have this path here."""
        return f"{self._artifacts.url}/{self._run_id}/{log_name(path)}"

    def fetch(self, log: AttemptLog) -> None:
        """Put a log where it would be if it had been written here. Raises `UsageError`.

        Nothing happens where it is not to be had yet, or never will be.
        """
        path = log.path
        if path.exists():
            return
        make_state_dir(self._project_dir, self._environ)
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._gets(log_name(path), draft):
                draft.replace(path)
        except ArtifactsError as error:
            raise UsageError(
                f"the log is not on this machine, and cannot be fetched: {one_line(str(error))}"
            ) from error
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
        finally:
            draft.unlink(missing_ok=True)

    def _gets(self, name: str, draft: Path) -> bool:
        for look in range(_LOOKS if self._pause is not None else 1):
            if look and self._pause is not None:
                self._pause(_EVERY)
            try:
                self._artifacts.get(self._run_id, name, draft)
            except ArtifactMissing:
                continue
            return True
        return False
