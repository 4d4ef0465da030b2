"""Which files of a run are uploaded, and when: logs as attempts end, dbt's artifacts at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

from dbtorch.adapters.dbt.written import changed_at, written_since
from dbtorch.adapters.run_files import RunFiles, log_name
from dbtorch.app.uploads import THREAD, Uploads
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.uploaded import Uploaded
from dbtorch.core.model.events import Changed
from dbtorch.ports.artifacts import Artifacts
from dbtorch.service.history.remote_files import RemoteRemoval
from dbtorch.service.run.launch import Launched

#: Seconds that the end of a run waits for what is on its way.
PATIENCE = 20.0

#: Seconds of that after the history could not be written, or somebody else goes on with the run.
_AFTER_A_FAULT = 5.0

#: Seconds that are left for one try, whatever else has taken its time.
_AT_LEAST = 0.5

_PIECE = 1 << 20


def begin_uploads(
    stack: ExitStack, artifacts: Artifacts, launched: Launched, began: datetime, hide: Scrubber
) -> RunUploads:
    """What uploads the files of an execution; however ``stack`` is left, it is waited for a bit."""
    warn = partial(launched.listener.note, level="warning")
    uploads = RunUploads(
        artifacts,
        launched.files,
        began=began,
        hide=hide,
        warn=warn,
        hurry=lambda: launched.control.left,
    )
    stack.callback(lambda: uploads.finish(None, patience=_AFTER_A_FAULT))
    return uploads


class RunUploads:
    """The files of one execution of a run on their way. Implements `Listener`."""

    def __init__(
        self,
        artifacts: Artifacts,
        files: RunFiles,
        *,
        began: datetime,
        hide: Scrubber,
        warn: Callable[[str], None],
        hurry: Callable[[], float | None] = lambda: None,
    ) -> None:
        """``began`` is when this execution did; ``hide`` knows the secrets of the run.

        ``hurry`` answers how many seconds are left, where somebody ends the run.
        """
        self._hurry = hurry
        self._files = files
        self._began = began
        self._hide = hide
        self._done: Uploaded | None = None
        self._artifacts = artifacts
        self._removes: threading.Thread | None = None
        self._uploads = Uploads(artifacts, files.root.name, read=self._scrubbed, warn=warn)

    def __call__(self, changes: Sequence[Changed]) -> None:
        """Upload the logs of attempts that have ended; returns at once."""
        for change in changes:
            if change.outcome is not None and change.attempt:
                path = self._files.path(change.node_id, change.attempt)
                self._uploads.add(log_name(path), path)

    def log_at(self, node_id: str, number: int) -> str:
        """Where the log of an attempt is: its URL, or its path where it is only here."""
        path = self._files.path(node_id, number)
        name = log_name(path)
        return f"{self._uploads.url}/{name}" if self._uploads.has(name) else str(path)

    def log_url(self, node_id: str, number: int) -> str:
        """Where the log of an attempt is, or will be in a moment."""
        return f"{self._uploads.url}/{log_name(self._files.path(node_id, number))}"

    def remove(self, runs: Sequence[str]) -> None:
        """Remove the files of runs that the history has removed; returns at once.

        What is not gone when the run ends is removed by `dbtorch prune`.
        """
        removal = RemoteRemoval(self._artifacts)
        removes = partial(all, map(removal.remove, runs))  # the first that fails is the last
        self._removes = threading.Thread(target=removes, name=THREAD, daemon=True)
        self._removes.start()

    def finish(self, target_path: Path | None, *, patience: float = PATIENCE) -> Uploaded:
        """Upload everything else, and wait for it, ``patience`` seconds at most.

        ``target_path`` is where dbt writes its artifacts. Whatever becomes of it, the run is what
        it is.
        """
        if self._done is not None:
            return self._done
        began = self._began.timestamp()
        for path in self._logs():
            self._uploads.add(log_name(path), path, unless_there=changed_at(path) < began)
        # what dbt said in earlier executions may be on another machine
        dbt_log = f"dbt.{self._began:%Y%m%dT%H%M%SZ}.log"
        self._uploads.add(dbt_log, self._files.dbt_log)
        for path in written_since(target_path, self._began) if target_path is not None else ():
            self._uploads.add(f"target/{path.name}", path)
        now = time.monotonic()
        at_least, at_most = now + _AT_LEAST, now + patience

        def left() -> float | None:
            said = self._hurry()
            return None if said is None else max(said, at_least - time.monotonic())

        self._done = self._uploads.finish(patience, left)
        if self._removes is not None:
            rest, said = at_most - time.monotonic(), self._hurry()
            self._removes.join(max(0.0, rest if said is None else min(rest, said)))
        return self._done

    def _logs(self) -> list[Path]:
        return sorted((self._files.root / "nodes").glob("*.log"))

    def _scrubbed(self, path: Path) -> Iterator[bytes]:
        """What a file says, without the secrets that somebody may have let through."""
        with path.open("rb") as file:
            yield from self._hide.stream(iter(lambda: file.read(_PIECE), b""))
