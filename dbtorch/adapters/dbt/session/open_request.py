"""How a session is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.sql_step_kind import SqlStep
from dbtorch.core.config import GRACE
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.events import Attempt

if TYPE_CHECKING:
    from dbtorch.core.failures.evidence import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """How to start a session."""

    python: str  # interpreter that has dbt
    args: tuple[str, ...]  # options of `dbt build`
    ours: tuple[str, ...] = ()  # more of them, of which artifacts say nothing
    asked: tuple[str, ...] = ()  # as somebody would have typed them
    cwd: Path
    environ: Mapping[str, str]
    log_path: Callable[[Attempt], Path]
    console: Path  # what dbt prints
    scratch: Path  # folder for files of this run
    sql: Mapping[str, SqlStep] = field(default_factory=dict)  # by node id
    run_vars: tuple[str, ...] = ()  # variables that say what a run is for, and are no code
    patches: bool = True  # whether dbt's own work for each node is done with fewer detours
    grace: float = GRACE  # seconds from cancelling an attempt to killing the worker that runs it
    run: Mapping[str, Any] = field(default_factory=dict)  # `run` in a sql step's templates
    failure_classes: tuple[Rule, ...] = ()  # the user's, before the built-in table
    hide: Scrubber = field(default_factory=Scrubber)  # knows the secrets of the run
    lingers: bool = False  # whether the worker answers questions after the session is closed, too
    standby: str = ""  # what a warm process has told of the first worker, where it is at hand

    def opening(self) -> dict[str, Any]:
        """What a worker has to know to read the project."""
        return {
            "args": (*self.args, *self.ours),
            "ours": [word for word in self.ours if word.startswith("--")],
            "patches": self.patches,
            "lingers": self.lingers,
            "run_vars": list(self.run_vars),
            "asked": self.asked,
            "scratch": str(self.scratch),
            "secrets": sorted(self.hide.secrets),
        }
