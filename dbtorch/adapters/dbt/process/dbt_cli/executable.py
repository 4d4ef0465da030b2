"""A dbt executable: starting it, and what it answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.dbt.process.dbt_cli.event_lines import Lines, LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.dbt_cli.line_batches import lines_of, widen
from dbtorch.adapters.install_command import missing_adapter
from dbtorch.adapters.processes import subreaper
from dbtorch.adapters.processes.group import reap
from dbtorch.adapters.processes.orphan_reaper import Guard
from dbtorch.adapters.processes.reaping import MARK
from dbtorch.core.errors import EngineError
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.state import FailureClass

#: Every attempt has a log, so its own file is for what is wrong ("none" is "off" in dbt 2).
_FILE = ("--log-level-file", "error")

#: More times that something is asked whose dbt was killed.
_MORE = 2

#: Without it dbt 2 ends each error with a stack of its own functions where the variable is set.
_QUIET = {"RUST_BACKTRACE": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command came to."""

    code: int
    lines: tuple[LogMessage, ...]
    python: str = ""  # the interpreter of a dbt 1, where it is known

    @property
    def failure_class(self) -> FailureClass:
        """Whether it may answer another time: one that somebody has killed may."""
        return FailureClass.TRANSIENT if self.code < 0 else FailureClass.CODE

    def errors(self) -> str:
        """What dbt says went wrong."""
        if self.code < 0:
            return f"{how(self.code)} before it had answered"
        said = dict.fromkeys(line.text for line in self.lines if line.level == "error")
        loud = "\n".join(map(uncoded, said)) or "\n".join(line.text for line in self.lines[-3:])
        if missing := missing_adapter(loud, self.python):
            return missing
        silence = f"dbt ended with exit code {self.code} and without a word; `dbtorch doctor` says"
        return loud.strip() or f"{silence} which dbt is called"


class Executable:
    """Starts dbt. Every process is a group of its own that ends with this supervisor."""

    def __init__(
        self,
        entry: Launcher,
        cwd: Path,
        environ: Mapping[str, str],
        guard: Guard,
        *,
        hide: Scrubber | None = None,
    ) -> None:
        self.hide = hide or Scrubber()  # knows the secrets of the run
        self.entry = entry
        self._cwd = cwd
        self._environ = {**environ, **_QUIET, MARK: guard.mark, **subreaper.asked_of_dbt()}
        self._guard = guard
        # no lock: signal handlers kill what is in it, whatever they have interrupted
        self._live: set[subprocess.Popen[bytes]] = set()
        self._ended = False  # by us, so nothing is asked a second time

    def part(self) -> Executable:
        """The same dbt; to `interrupt` or `kill` it is about what this one has started."""
        return Executable(self.entry, self._cwd, self._environ, self._guard, hide=self.hide)

    def set_default(self, name: str, value: str) -> None:
        """Set a variable of every dbt's environment, where nobody has."""
        self._environ.setdefault(name, value)

    def start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command; its standard output is to be read. Raises `EngineError`."""
        try:
            self._guard.prepare()
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
        subreaper.own(process.pid)
        self._live.add(process)
        return process

    def _whole(self, words: Sequence[str]) -> list[str]:
        """A command with all that every command has."""
        entry, file = self.entry, () if _FILE[0] in words else _FILE
        return [*entry.command, *words, *entry.talk, *file]

    @contextmanager
    def following(self, process: subprocess.Popen[bytes]) -> Iterator[FollowedProcess]:
        """Follow a process to its end; one that cannot be followed to its end is ended, too."""
        followed = FollowedProcess(process)
        try:
            yield followed
        except BaseException:
            stop(process, signal.SIGKILL)
            raise
        finally:
            followed.code = self.ended(process)

    def ended(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of a process, and forget it; answers its exit code."""
        code = reap(process)
        if process.stdout is not None:
            process.stdout.close()
        self._guard.remove(process.pid)
        self._live.discard(process)
        return code

    def interrupt(self, grace: float) -> None:
        """Ask everything that runs to end, and end it after so many seconds."""
        self._ended = True
        for process in self._running():
            interrupt(process, grace)

    def kill(self) -> None:
        """End everything that runs."""
        self._ended = True
        for process in self._running():
            stop(process, signal.SIGKILL)

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return list(self._live)

    def begin_to_ask(self, words: Sequence[str]) -> Callable[[], Answer]:
        """Start a command, and go on; what is answered waits for its end.

        Raises `EngineError` where it cannot be started.
        """
        from concurrent.futures import ThreadPoolExecutor  # with a held build nobody asks

        process = self.start(words)
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dbtorch-dbt")
        answer = pool.submit(self._answered, words, process)
        pool.shutdown(wait=False)
        return answer.result

    def ask(self, words: Sequence[str]) -> Answer:
        """Run a command to its end. Raises `EngineError` where it cannot be started."""
        return self._answered(words, self.start(words))

    def _answered(self, words: Sequence[str], process: subprocess.Popen[bytes]) -> Answer:
        """What it answers, or another one that is asked the same when somebody has killed it.

        A command changes nothing, and whatever ended it (no memory left, say) may have passed.
        """
        answer = self._answer(process)
        for _ in range(_MORE):
            if answer.code >= 0 or self._ended:
                break
            answer = self._answer(self.start(words))
        return answer

    def _answer(self, process: subprocess.Popen[bytes]) -> Answer:
        reader = Lines(self.hide)
        with self.following(process) as followed:
            lines = [reader.read(line) for line in lines_of(process)]
        said = tuple(one for one in lines if isinstance(one, LogMessage))
        return Answer(code=followed.code, lines=said, python="".join(self.entry.python[:1]))


class FollowedProcess:
    """A process that is followed to its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.code = 0  # once it has ended


#: What dbt 2 puts in front of what went wrong.
_CODE = re.compile(r"\A\[error\] \[\w+ \((?:dbt\d+)\)\]: ")


def uncoded(text: str) -> str:
    """What went wrong, without dbt 2's name and number of it."""
    return _CODE.sub("", text)


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and all it has started, unless its number is nobody's any more."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def interrupt(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask a process to end, and end it after so many seconds."""

    def see() -> None:
        try:
            process.wait(grace)  # and no longer than it takes
        except subprocess.TimeoutExpired:
            stop(process, signal.SIGKILL)

    stop(process, signal.SIGINT)
    threading.Thread(target=see, name="dbtorch-interrupt", daemon=True).start()


def how(code: int) -> str:
    """How a process ended."""
    if code < 0:
        return f"dbt was ended by {signal.Signals(-code).name}"
    return f"dbt ended with exit code {code}"
