"""A dbt that is started before anything else of dbtorch is imported.

Importing dbtorch takes as long as dbt 2 takes to read a small project. So a run notes how it has
started its first dbt, and the next one of the same words begins with that. It then imports what
knows how dbt is to be started now: if that is otherwise, the one that was started early is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbtorch.adapters.dbt.process.spawning import make_pipe, spawn
from dbtorch.adapters.run_files import RunFiles, new_run_id
from dbtorch.adapters.steps.guard import MARK, RUN, Guard

#: Files of the project that say how dbt is started; a note of others is of no use.
_SEEN = ("dbtorch.yml", "dbtorch.yaml", "dbt_project.yml")

#: Variables that each run sets to something of its own.
_OWN = frozenset({RUN, MARK})


class Early:
    """A run that is about to be: its id, and maybe a dbt that reads the project for it."""

    def __init__(self, words: Sequence[str]) -> None:
        """``words`` are those of the command line; the project is in the current folder."""
        self.run_id = new_run_id()
        self._project = Path.cwd()
        self._scratch = RunFiles(self._project, self.run_id).root / "dbt"
        name = zlib.crc32("\0".join(words).encode(errors="surrogateescape"))
        self._note = self._project / ".dbtorch" / "cache" / f"start-{name:08x}.json"
        self._guard: Guard | None = None
        self._grace = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._command: list[str] = []
        self._environ: dict[str, str] = {}

    def start(self) -> None:
        """Start dbt as the note says, if there is one and nothing is in the way."""
        try:
            note = json.loads(self._note.read_bytes())
            if note["seen"] == self._seen():
                self._start(note["command"], note["environ"], float(note["grace"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self.close()

    def _start(
        self, command: Sequence[str | None], environ: Mapping[str, str], grace: float
    ) -> None:
        folder = self._scratch / "held" / "1"
        self._grace = grace
        self._guard = Guard(grace=grace, ask=signal.SIGINT)
        self._command = [str(folder) if word is None else word for word in command]
        own = {RUN: self.run_id, MARK: self._guard.mark}
        self._environ = {**os.environ, **environ, **own}
        make_pipe(folder)
        self._guard.prepare()
        self._process = spawn(self._command, self._project, self._environ)
        self._guard.add(self._process.pid)

    def guard(self, *, grace: float) -> Guard | None:
        """Whoever ends this dbt with the supervisor, if it is as it is to be."""
        return self._guard if grace == self._grace else None

    def take(
        self, command: Sequence[str], cwd: Path, environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | None:
        """The dbt that was started, if it is the one that is wanted; any other is ended."""
        wanted = (
            [*command] == self._command and cwd == self._project and dict(environ) == self._environ
        )
        if not wanted:
            self.close()
        process, self._process = self._process, None
        return process

    def keep(
        self, command: Sequence[str], environ: Mapping[str, str], *, folder: Path, grace: float
    ) -> None:
        """Note how dbt was started, for the next run of these words; ``folder`` is where it waits.

        A note that cannot be written is no matter.
        """
        added = {
            name: value
            for name, value in environ.items()
            if os.environ.get(name) != value and name not in _OWN
        }
        note = {
            "command": [None if word == str(folder) else word for word in command],
            "environ": added,
            "grace": grace,
            "seen": self._seen(),
        }
        draft = self._note.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError, ValueError):
            self._note.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(note), encoding="utf-8")
            draft.replace(self._note)

    def close(self) -> None:
        """End what nobody has taken."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if self._guard is not None:
            self._guard.remove(process.pid)
            self._guard.close()

    def _seen(self) -> list[list[int] | None]:
        return [_stat(self._project / name) for name in _SEEN]


def _stat(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
