"""Runs as processes of their own: what one of them does to itself hurts nobody else."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dbtorch.adapters.processes import subreaper
from dbtorch.adapters.processes.adopted import AdoptedProcess
from dbtorch.core.schedule.ledger import ScheduleKey, TickRecord
from dbtorch.core.text import durations
from dbtorch.core.text.from_outside import Unreadable, json_value
from dbtorch.schedule.log import Log
from dbtorch.schedule.warm import Warm
from dbtorch.service.project.options import TICK, TICK_INTERVAL
from dbtorch.service.schedule.causes import telling

#: What is started: this very dbtorch.
DBTORCH = (sys.executable, "-m", "dbtorch")

#: Milliseconds between two looks whether one that says nothing has ended; and seconds that what it
#: has said last may take to be read.
_LOOK_EVERY, _LAST_WORDS = 500, 5.0

#: Characters of a line that is no JSON, of which people need no more.
_LONGEST = 2000


class RunProcess(Protocol):
    """A process of a run: one that was started, or one that a warm process has made."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def returncode(self) -> Any:
        """Its exit status, negative for a signal; None while nobody has seen its end."""

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""

    def wait(self) -> int:
        """Its exit status, once it has ended."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal, if it has not ended."""


@dataclass(slots=True, kw_only=True)
class Child:
    """A run of a tick under way."""

    key: ScheduleKey
    tick: TickRecord
    process: RunProcess
    run_id: str = ""  # as soon as it has said so
    last_words: str = ""  # the last line that was no JSON: why it could not begin
    backfill: str = ""  # that it is of, if any
    warm: bool = False  # made with a dbt worker at hand
    thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def token(self) -> str:
        """What it may begin with."""
        return self.tick.token

    def ask_to_end(self) -> None:
        """Let it end its run properly."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; its own guard ends what it has started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """Starts a child for a tick, and tells what it says and that it has ended."""

    program: tuple[str, ...] = DBTORCH
    project_dir: Path
    environ: Mapping[str, str]
    grace: float | None
    log: Log
    on_line: Callable[[Child, dict[str, Any]], None]
    on_end: Callable[[Child], None]  # in another thread
    warm: Warm | None = None

    def start(
        self,
        key: ScheduleKey,
        tick: TickRecord,
        words: Sequence[str] = (),
        about: Mapping[str, str] | None = None,
    ) -> Child:
        """Start the run of a tick, or go on with it; ``words`` and ``about`` are others than its.

        Raises `OSError`.
        """
        read, write = os.pipe()
        try:
            process = self._process(
                self._words(words or _words(key, tick)),
                _about(tick) if about is None else about,
                write,
            )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        warm = isinstance(process, AdoptedProcess)
        child = Child(key=key, tick=tick, process=process, run_id=tick.run_id, warm=warm)
        child.thread = threading.Thread(
            target=self._relay,
            args=(child, read),
            name=f"dbtorch-child-{process.pid}",
            daemon=True,
        )
        child.thread.start()
        return child

    def _process(self, words: Sequence[str], more: Mapping[str, str], output: int) -> RunProcess:
        """A run with a worker at hand, or one that starts its own."""
        argv = [*self.program, *words]
        if self.warm is not None:
            process = self.warm.start(argv, more, output)
            if process is not None:
                return process
        return subprocess.Popen(
            argv,
            env={**self.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we tell it to end
        )

    def _words(self, own: Sequence[str]) -> list[str]:
        words = [*own, "--project-dir", os.fspath(self.project_dir)]
        if own[0] == "backfill":  # it begins one, and runs nothing itself
            return words
        words += ["--log-format", "json", "--wait"]
        return words if self.grace is None else [*words, "--grace", durations.text(self.grace)]

    def _relay(self, child: Child, output: int) -> None:
        """Hand on what a child says, a line at a time, until it has ended."""
        common = {"pipeline": child.key.pipeline}
        for line in _lines(output, child.process):
            said = _object(line)
            if said is None:
                text = self.log.hide(line.strip())[:_LONGEST]  # before it is cut
                child.last_words = text or child.last_words
                self.log.write("output", level="error", message=child.last_words, **common)
                continue
            child.run_id = str(said.get("run_id") or child.run_id)
            self.on_line(child, said)
            self.log.pass_on({**said, **common})
        os.close(output)
        child.process.wait()
        subreaper.disown(child.process.pid)
        self.on_end(child)


def _lines(output: int, process: RunProcess) -> Iterator[str]:
    """What comes through a pipe, a line at a time, until the process has ended.

    What it has started may have the pipe in hand for ever, and is not waited for.
    """
    poll = select.poll()
    poll.register(output, select.POLLIN)
    rest, until = b"", None
    while until is None or time.monotonic() < until:
        if poll.poll(_LOOK_EVERY):
            piece = os.read(output, 1 << 16)
            if not piece:
                break
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        elif until is not None:
            break
        if until is None and process.poll() is not None:
            until = time.monotonic() + _LAST_WORDS
    if rest:
        yield rest.decode(errors="replace")


def _words(key: ScheduleKey, tick: TickRecord) -> list[str]:
    if tick.run_id:
        return ["retry", tick.run_id, "--reason", "its scheduler had ended"]
    words = ["run", "--pipeline", key.pipeline]
    if tick.cause is None:
        words += ["--logical-date", tick.interval.logical_date.isoformat()]
    return words


def _about(tick: TickRecord) -> dict[str, str]:
    """What a run is told of its tick: nothing that it would have to work out again."""
    if tick.cause is not None:  # it covers what a run by hand would
        return {TICK: tick.token, **telling(tick.cause)}
    return {TICK: tick.token, TICK_INTERVAL: tick.interval.to_text()}


def _object(line: str) -> dict[str, Any] | None:
    try:
        said = json_value(line)
    except Unreadable:
        return None
    return said if isinstance(said, dict) else None
