"""A bench to try steps on, real processes and all: for dbtorch's own tests and for step types."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dbtorch.adapters.steps.runner import StepRunner
from dbtorch.core.config import GRACE, StepSpec
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Finished,
    Outcome,
    Report,
    Started,
)
from dbtorch.core.model.graph import Kind
from dbtorch.ports.steps import StepContext

_MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


class StepBench:
    """Runs steps of one project as a run would, and remembers what they report.

    >>> with StepBench(project_dir, [spec]) as bench:
    ...     outcome = bench.run("ingest_orders")
    """

    def __init__(
        self,
        project_dir: Path,
        specs: Sequence[StepSpec],
        *,
        target: Mapping[str, Any] | None = None,
        vars: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        python: str = sys.executable,
        environ: Mapping[str, str] = os.environ,
        grace: float = GRACE,
        failure_classes: Sequence[Rule] = (),
    ) -> None:
        """The run is of pipeline "default" for 2026-03-01, and its id is "bench"."""
        self.events: list[Report] = []
        self._news = threading.Condition()
        self._files = project_dir / ".dbtorch" / "bench"
        context = StepContext(
            run_id="bench",
            project="shop",
            pipeline="default",
            logical_date=_MIDNIGHT,
            data_interval_start=_MIDNIGHT,
            data_interval_end=_MIDNIGHT.replace(day=2),
            project_dir=project_dir,
            target=target or {},
            vars=vars or {},
        )
        self.runner = StepRunner(
            self._take,
            {spec.name: spec for spec in specs},
            context,
            log_path=self.log_path,
            work_dir=self._files / "work",
            python=python,
            outputs=outputs,
            environ=environ,
            grace=grace,
            failure_classes=failure_classes,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.runner.close()

    def run(self, step: str, number: int = 1) -> Outcome:
        """One attempt at a step, from start to end."""
        return self.outcome(self.start(step, number))

    def start(self, step: str, number: int = 1) -> Attempt:
        """Start an attempt; returns at once."""
        attempt = Attempt(Kind.STEP.id_of(step), number)
        self.runner.start(Batch(len(self.events) + 1, (attempt,)))
        return attempt

    def started(self, attempt: Attempt, *, timeout: float = 30.0) -> None:
        """Wait until its process exists."""
        self._wait_for(lambda: Started(attempt) in self.events, attempt, timeout)

    def outcome(self, attempt: Attempt, *, timeout: float = 30.0) -> Outcome:
        """Wait until it has ended; how it did."""
        self._wait_for(lambda: bool(self._ended(attempt)), attempt, timeout)
        return self._ended(attempt)[0].outcome

    def log_path(self, attempt: Attempt) -> Path:
        """Where its output goes."""
        return self._files / "logs" / f"{attempt.node_id}.{attempt.number}.log"

    def log(self, step: str, number: int = 1) -> str:
        """What an attempt has put out so far."""
        path = self.log_path(Attempt(Kind.STEP.id_of(step), number))
        return path.read_text(encoding="utf-8", errors="replace")

    def _ended(self, attempt: Attempt) -> list[Finished]:
        return [
            event
            for event in self.events
            if isinstance(event, Finished) and event.attempt == attempt
        ]

    def _take(self, event: Report) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def _wait_for(self, condition: Any, attempt: Attempt, timeout: float) -> None:
        with self._news:
            if not self._news.wait_for(condition, timeout):
                raise TimeoutError(f"{attempt} did not get there within {timeout:g} s")
