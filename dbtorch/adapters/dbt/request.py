"""How a session is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.sql_step import SqlStep
from dbtorch.adapters.dbt.worker_process import Start
from dbtorch.core.config import GRACE
from dbtorch.core.events import Attempt
from dbtorch.core.evidence import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """How to start a session."""

    python: str  # interpreter that has dbt
    args: tuple[str, ...]  # options of `dbt build`
    cwd: Path
    environ: Mapping[str, str]
    log_path: Callable[[Attempt], Path]
    console: Path  # what dbt prints
    scratch: Path  # folder for files of this run
    sql: Mapping[str, SqlStep] = field(default_factory=dict)  # by node id
    grace: float = GRACE  # seconds from cancelling an attempt to killing the worker that runs it
    run: Mapping[str, Any] = field(default_factory=dict)  # `run` in a sql step's templates
    failure_classes: tuple[Rule, ...] = ()  # the user's, before the built-in table

    def start(self) -> Start:
        """How to start its worker."""
        return Start(python=self.python, cwd=self.cwd, environ=self.environ, console=self.console)
