"""What executes steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # so that a command that only reads imports no more of the core than it uses
    from dbtorch.core.model.events import Attempt, Batch


class Steps(Protocol):
    """Executes steps. Reports through the `Emit` it was built with."""

    def start(self, batch: Batch) -> None:
        """Execute a batch; returns at once."""

    def cancel(self, attempt: Attempt) -> None:
        """End an attempt's process group; it still reports how it ended."""

    def kill(self) -> None:
        """End every process at once and wait for nothing; without a lock, for signal handlers."""

    def close(self) -> None:
        """End everything that still runs; returns when it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a step is told about the run it is part of."""

    run_id: str
    project: str
    pipeline: str
    logical_date: datetime
    data_interval_start: datetime | None  # None: nothing had been loaded before
    data_interval_end: datetime
    project_dir: Path
    previous_success_end: datetime | None = None  # of the interval of the last success
    up_to_now: bool = False  # neither a schedule nor anybody has said what it stands for
    target: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)  # of the pipeline
    trigger: Mapping[str, Any] = field(default_factory=dict)  # what started the run
    partition: str = ""  # key of the partition, or "first..last"; empty for none
    project_id: str = ""  # the same wherever the project runs
