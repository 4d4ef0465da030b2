"""A `sql:` step, which dbt renders and executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.dbtorch_worker.empty_sql import RENDERED_TO_NOTHING, is_nothing
from dbtorch.adapters.dbt.process.dbt_cli.event_lines import LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.executable import how
from dbtorch.adapters.dbt.process.operations.operation import Ended, Mark, Operation, literal, write
from dbtorch.adapters.dbt.session.answers import lost, outcome_of
from dbtorch.adapters.dbt.sql_step_kind import SqlStep
from dbtorch.core.failures.classify import classify
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import Attempt, Batch, Finished, Outcome, Started
from dbtorch.core.model.events import Ended as Over
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.model.wait import NOT_YET
from dbtorch.ports.loop import Emit


class StepRun:
    """One attempt at a step."""

    def __init__(
        self,
        batch: Batch,
        operation: Operation,
        step: SqlStep,
        run: Mapping[str, Any],
        known: Mapping[str, Any],
        *,
        emit: Emit,
        log_path: Callable[[Attempt], Path],
        rules: Sequence[Rule],
    ) -> None:
        """``run`` is what the SQL knows by that name, ``known`` what its condition knows."""
        self.batch = batch
        (self._attempt,) = batch.attempts
        self._operation = operation
        self._step = step
        self._text = f"{{% set run = {literal(dict(run))} %}}{step.text}"
        self._known = known
        self._emit = emit
        self._log_path = log_path
        self._rules = rules
        self._nothing = False  # there was no statement in what dbt rendered
        self._done: Mapping[str, Any] | None = None

    def cancel(self, attempt: Attempt) -> None:
        """Interrupt dbt, which cancels its query."""
        del attempt
        self._operation.interrupt()

    def kill(self, why: str) -> None:
        """End dbt at once."""
        self._operation.kill(why)

    def follow(self) -> None:
        """Execute it and tell what came of it. Raises `EngineError`."""
        outcome = self._step.left_out(self._known)
        if outcome is None:
            self._emit(Started(self._attempt))
            outcome = self._execute()
        self._emit(Finished(self._attempt, outcome))
        self._emit(Over(self.batch, ""))

    def _execute(self) -> Outcome:
        try:
            ended = self._operation.run("dbtorch_sql", {"sql": self._text}, self._heard)
        except ValueError as error:
            return Outcome(state=State.FAILED, message=str(error), failure_class=FailureClass.CODE)
        return self._outcome(ended)

    def _heard(self, one: Mark | LogMessage) -> None:
        if isinstance(one, Mark):
            # dbt 2 goes on after an interrupt as if a query were done that it never sent
            if one.what == "done" and not self._operation.interrupted:
                self._done = one.about if isinstance(one.about, Mapping) else None
            text = str(one.about) if one.what == "sql" else ""
            self._nothing = self._nothing or (one.what == "sql" and is_nothing(text))
        else:
            text = "" if one.level == "debug" else one.text
        if text:
            write(partial(self._log_path, self._attempt), text)

    def _outcome(self, ended: Ended) -> Outcome:
        if self._nothing:  # whatever the warehouse says of that
            return _failed(RENDERED_TO_NOTHING, FailureClass.CODE)
        if self._done is not None and (ended.code == 0 or self._operation.interrupted):
            return outcome_of({"status": "success", **answer(self._done)})
        if self._operation.killed_for:
            return lost(self._operation.killed_for, FailureClass.UNKNOWN)
        if self._operation.interrupted:
            return _failed("dbt was interrupted")
        if ended.code < 0:
            return lost(how(ended.code))
        if not ended.errors:
            return _failed(f"{how(ended.code)}, and nobody knows whether it has executed the step")
        said = ended.errors
        failed = _failed(said, classify((), said, self._rules))
        return replace(failed, waits=NOT_YET in said)


def _failed(why: str, failure_class: FailureClass = FailureClass.UNKNOWN) -> Outcome:
    return Outcome(state=State.FAILED, message=why, failure_class=failure_class)


def answer(done: Mapping[str, Any]) -> dict[str, Any]:
    """What the warehouse answered.

    dbt 2 says ``SUCCESS 0`` of everything on DuckDB: that is no number of rows.
    """
    rows, message = str(done.get("rows")), str(done.get("message"))
    known = rows.isdigit()
    if message.startswith("{"):  # dbt 2 has no text for it
        known = known and rows != "0"
        message = f"{done.get('code')} {rows}" if known else str(done.get("code"))
    return {"message": message, "adapter_response": {"rows_affected": int(rows)} if known else {}}
