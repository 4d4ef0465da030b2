"""How a session is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.worker_process import Start
from dbtorch.core.config import GRACE
from dbtorch.core.events import Attempt, Outcome
from dbtorch.core.evidence import Rule
from dbtorch.core.state import FailureClass, State


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlStep:
    """A step that dbt executes: SQL in dbt's own templating."""

    text: str
    #: Why this attempt is left out, given `vars` and `target`; empty when it is not.
    skip: Callable[[Mapping[str, Any]], str]

    def left_out(self, known: Mapping[str, Any]) -> Outcome | None:
        """The outcome of an attempt that is left out, or whose condition cannot be told."""
        try:
            why = self.skip(known)
        except Exception as error:
            return Outcome(state=State.FAILED, message=str(error), failure_class=FailureClass.CODE)
        return Outcome(state=State.SKIPPED, message=why) if why else None


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
