"""A dbt executable: starting it, and what it answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.adapters.dbt.process.entry import Entry
from dbtorch.adapters.dbt.process.lines import Lines, Said
from dbtorch.adapters.dbt.process.pipes import make_pipe, widen
from dbtorch.adapters.steps.guard import Guard
from dbtorch.adapters.steps.left_behind import MARK
from dbtorch.adapters.turns import InFront
from dbtorch.ports import EngineError

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.early import Early

#: Every attempt has a log, so its own file is for what is wrong ("none" is "off" in dbt 2).
_FILE = ("--log-level-file", "error")

#: Without it dbt 2 ends each error with a stack of its own functions where the variable is set.
_QUIET = {"RUST_BACKTRACE": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command came to."""

    code: int
    lines: tuple[Said, ...]

    def errors(self) -> str:
        """What dbt says went wrong."""
        said = dict.fromkeys(line.text for line in self.lines if line.level == "error")
        loud = "\n".join(map(uncoded, said)) or "\n".join(line.text for line in self.lines[-3:])
        silence = f"dbt ended with exit code {self.code} and without a word; `dbtorch doctor` says"
        return loud.strip() or f"{silence} which dbt is called"


class Executable:
    """Starts dbt. Every process is a group of its own that ends with this supervisor."""

    def __init__(
        self,
        entry: Entry,
        cwd: Path,
        environ: Mapping[str, str],
        guard: Guard,
        *,
        early: Early | None = None,
    ) -> None:
        self.entry = entry
        self._cwd = cwd
        self._environ = {**environ, **_QUIET, MARK: guard.mark}
        self._guard = guard
        self._early = early
        self._lock = threading.Lock()
        self._live: set[subprocess.Popen[bytes]] = set()

    def part(self) -> Executable:
        """The same dbt; to `interrupt` or `kill` it is about what this one has started."""
        return Executable(self.entry, self._cwd, self._environ, self._guard)

    def set_default(self, name: str, value: str) -> None:
        """Set a variable of every dbt's environment, where nobody has."""
        self._environ.setdefault(name, value)

    def start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command; its standard output is to be read. Raises `EngineError`."""
        try:
            self._guard.prepare()
            with InFront():
                process = subprocess.Popen(
                    self._whole(words),
                    cwd=self._cwd,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise EngineError(
                f"{self.entry.executable} cannot be started ({error.strerror}); name dbt with"
                " engine.executable in dbtorch.yml"
            ) from error
        assert process.stdout is not None
        widen(process.stdout.fileno())
        self._guard.add(process.pid)
        with self._lock:
            self._live.add(process)
        return process

    def start_held(
        self, words: Sequence[str], folder: Path, *, grace: float
    ) -> subprocess.Popen[bytes]:
        """Start a command that is to wait at a pipe in this folder.

        The first may have been started before anything else. Raises `EngineError`, and `OSError`
        where there are no named pipes.
        """
        early, self._early = self._early, None
        command = self._whole(words)
        process = None if early is None else early.take(command, self._cwd, self._environ)
        if process is not None:
            with self._lock:
                self._live.add(process)
            return process
        make_pipe(folder)
        process = self.start(words)
        if early is not None:
            early.keep(command, self._environ, folder=folder, grace=grace)
        return process

    def _whole(self, words: Sequence[str]) -> list[str]:
        """A command with all that every command has."""
        entry, file = self.entry, () if _FILE[0] in words else _FILE
        return [*entry.command, *words, *entry.talk, *file]

    def ended(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of a process, and forget it; answers its exit code."""
        code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._guard.remove(process.pid)
        with self._lock:
            self._live.discard(process)
        return code

    def interrupt(self, grace: float) -> None:
        """Ask everything that runs to end, and end it after so many seconds."""
        for process in self._running():
            interrupt(process, grace)

    def kill(self) -> None:
        """End everything that runs."""
        for process in self._running():
            stop(process, signal.SIGKILL)

    def _running(self) -> list[subprocess.Popen[bytes]]:
        with self._lock:
            return list(self._live)

    def begin_to_ask(self, words: Sequence[str]) -> Callable[[], Answer]:
        """Start a command, and go on; what is answered waits for its end.

        Raises `EngineError` where it cannot be started.
        """
        from concurrent.futures import ThreadPoolExecutor  # with a held build nobody asks

        process = self.start(words)
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dbtorch-dbt")
        answer = pool.submit(self._answer, process)
        pool.shutdown(wait=False)
        return answer.result

    def ask(self, words: Sequence[str]) -> Answer:
        """Run a command to its end. Raises `EngineError` where it cannot be started."""
        return self._answer(self.start(words))

    def _answer(self, process: subprocess.Popen[bytes]) -> Answer:
        reader = Lines()
        assert process.stdout is not None
        lines = [reader.read(line) for line in process.stdout]
        code = self.ended(process)
        return Answer(code=code, lines=tuple(one for one in lines if isinstance(one, Said)))


#: What dbt 2 puts in front of what went wrong.
_CODE = re.compile(r"\A\[error\] \[\w+ \((?:dbt\d+)\)\]: ")


def uncoded(text: str) -> str:
    """What went wrong, without dbt 2's name and number of it."""
    return _CODE.sub("", text)


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and all it has started."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def interrupt(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask a process to end, and end it after so many seconds."""

    def kill() -> None:
        if process.poll() is None:
            stop(process, signal.SIGKILL)

    stop(process, signal.SIGINT)
    timer = threading.Timer(grace, kill)
    timer.daemon = True
    timer.start()


def how(code: int) -> str:
    """How a process ended."""
    if code < 0:
        return f"dbt was ended by {signal.Signals(-code).name}"
    return f"dbt ended with exit code {code}"
