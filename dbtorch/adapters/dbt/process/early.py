"""A dbt that is started before anything else of dbtorch is imported.

Importing dbtorch takes as long as dbt 2 takes to read a small project. So a run notes how it has
started its first dbt, and the next one of the same words begins with that. It then imports what
knows how dbt is to be started now: if that is otherwise, the one that was started early is ended.

Python starts in 15 ms, and each of `pathlib`, `json`, `subprocess` and `signal` takes 5 to 20 ms to
import, for which dbt would wait; so nothing here needs them.
"""

from __future__ import annotations

import os
import zlib

from dbtorch.adapters.dbt.process.pipes import make_pipe, widen
from dbtorch.adapters.posix import start, wait
from dbtorch.adapters.run_folder import new_run_id, run_folder
from dbtorch.adapters.steps.guard import Guard
from dbtorch.adapters.steps.left_behind import MARK, RUN, SIGINT, SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Files of the project that say how dbt is started; a note of others is of no use.
_SEEN = ("dbtorch.yml", "dbtorch.yaml", "dbt_project.yml")

#: Variables that each run sets to something of its own.
_OWN = frozenset({RUN, MARK})

#: What a note has for the folder in which dbt waits.
_FOLDER = "\n"


class Early:
    """A run that is about to be: its id, and maybe a dbt that reads the project for it."""

    def __init__(self, words: Sequence[str]) -> None:
        """``words`` are those of the command line; the project is in the current folder."""
        self.run_id = new_run_id()
        self._project = os.getcwd()
        self._scratch = os.path.join(run_folder(self._project, self.run_id), "dbt")
        name = zlib.crc32("\0".join(words).encode(errors="surrogateescape"))
        self._note = os.path.join(self._project, ".dbtorch", "cache", f"start-{name:08x}")
        self._guard: Guard | None = None
        self._grace = 0.0
        self._pid: int | None = None
        self._output = -1  # the pipe to which it prints
        self._command: list[str] = []
        self._environ: dict[str, str] = {}

    def start(self) -> None:
        """Start dbt as the note says, if there is one and nothing is in the way."""
        try:
            with open(self._note, "rb") as file:
                digest, _, content = file.read().partition(b" ")
            if digest != _digest(content):  # half of a command could build what nobody asked for
                return
            seen, grace, count, *rest = os.fsdecode(content).split("\0")
            if seen == self._seen():
                command, variables = rest[: int(count)], rest[int(count) :]
                environ = dict(variable.split("=", 1) for variable in variables)
                self._start(command, environ, float(grace))
        except (OSError, ValueError):  # there is none, or it is none of ours
            self.close()

    def _start(self, command: Sequence[str], environ: Mapping[str, str], grace: float) -> None:
        if "PATH" in environ:  # not where we would find it
            return
        folder = os.path.join(self._scratch, "held", "1")
        self._grace = grace
        self._guard = Guard(grace=grace, ask=SIGINT)
        self._command = [folder if word == _FOLDER else word for word in command]
        own = {RUN: self.run_id, MARK: self._guard.mark}
        self._environ = {**os.environ, **environ, **own}
        make_pipe(folder)
        self._guard.prepare()
        self._output, its = os.pipe()
        try:
            self._pid = start(self._command, self._environ, output=its)
            self._guard.add(self._pid)
        except OSError:
            os.close(self._output)
            raise
        finally:
            os.close(its)
        widen(self._output)

    def guard(self, *, grace: float) -> Guard | None:
        """Whoever ends this dbt with the supervisor, if it is as it is to be."""
        return self._guard if grace == self._grace else None

    def take(
        self, command: Sequence[str], cwd: Path, environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | None:
        """The dbt that was started, if it is the one that is wanted; any other is ended."""
        wanted = (
            [*command] == self._command
            and str(cwd) == self._project
            and dict(environ) == self._environ
        )
        if not wanted:
            self.close()
        pid, self._pid = self._pid, None
        if pid is None:
            return None
        from dbtorch.adapters.dbt.process.adopted import Adopted

        return Adopted(pid, command, self._output)

    def keep(
        self, command: Sequence[str], environ: Mapping[str, str], *, folder: Path, grace: float
    ) -> None:
        """Note how dbt was started, for the next run of these words; ``folder`` is where it waits.

        A note that cannot be written is no matter.
        """
        added = [
            f"{name}={value}"
            for name, value in environ.items()
            if os.environ.get(name) != value and name not in _OWN
        ]
        words = [_FOLDER if word == str(folder) else word for word in command]
        fields = (self._seen(), str(grace), str(len(words)), *words, *added)
        content = os.fsencode("\0".join(fields))
        draft = f"{self._note}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._note), exist_ok=True)
            with open(draft, "wb") as file:
                file.write(_digest(content) + b" " + content)
            os.replace(draft, self._note)
        except OSError:
            return

    def close(self) -> None:
        """End what nobody has taken."""
        pid, self._pid = self._pid, None
        if pid is None:
            return
        try:
            os.killpg(pid, SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of zombies
            pass
        os.close(self._output)
        wait(pid)
        if self._guard is not None:
            self._guard.remove(pid)
            self._guard.close()

    def _seen(self) -> str:
        return " ".join(_stat(os.path.join(self._project, name)) for name in _SEEN)


def _digest(content: bytes) -> bytes:
    return b"%08x" % zlib.crc32(content)


def _stat(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return "-"
    return f"{found.st_size}:{found.st_mtime_ns}"
