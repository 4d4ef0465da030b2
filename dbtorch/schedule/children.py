"""Runs as processes of their own: what one of them does to itself hurts nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbtorch.core.schedule.ledger import ScheduleKey, TickRecord
from dbtorch.schedule.log import Log
from dbtorch.service.project.options import TICK

#: What is started: this very dbtorch.
DBTORCH = (sys.executable, "-m", "dbtorch")

#: Characters of a line that is no JSON, of which people need no more.
_LONGEST = 2000


@dataclass(slots=True, kw_only=True)
class Child:
    """A run of a tick under way."""

    key: ScheduleKey
    tick: TickRecord
    process: subprocess.Popen[str]
    run_id: str = ""  # as soon as it has said so
    last_words: str = ""  # the last line that was no JSON: why it could not begin
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

    def start(self, key: ScheduleKey, tick: TickRecord) -> Child:
        """Start the run of a tick, or go on with it. Raises `OSError`."""
        process = subprocess.Popen(
            [*self.program, *self._words(key, tick)],
            env={**self.environ, TICK: tick.token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us; we tell it to end
        )
        child = Child(key=key, tick=tick, process=process, run_id=tick.run_id)
        child.thread = threading.Thread(
            target=self._relay, args=(child,), name=f"dbtorch-child-{process.pid}", daemon=True
        )
        child.thread.start()
        return child

    def _words(self, key: ScheduleKey, tick: TickRecord) -> list[str]:
        if tick.run_id:
            words = ["retry", tick.run_id, "--reason", "its scheduler had ended"]
        else:
            date = tick.interval.logical_date.isoformat()
            words = ["run", "--pipeline", key.pipeline, "--logical-date", date]
        words += ["--project-dir", os.fspath(self.project_dir), "--log-format", "json", "--wait"]
        return words if self.grace is None else [*words, "--grace", f"{self.grace:g}s"]

    def _relay(self, child: Child) -> None:
        """Hand on what a child says, a line at a time, until it has ended."""
        assert child.process.stdout is not None
        common = {"pipeline": child.key.pipeline}
        with child.process.stdout as lines:
            for line in lines:
                said = _object(line)
                if said is None:
                    child.last_words = line.strip()[:_LONGEST] or child.last_words
                    self.log.write("output", level="error", message=child.last_words, **common)
                    continue
                child.run_id = str(said.get("run_id") or child.run_id)
                self.on_line(child, said)
                self.log.pass_on({**said, **common})
        child.process.wait()
        self.on_end(child)


def _object(line: str) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
