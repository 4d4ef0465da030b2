"""Both ends of a run: on-run hooks, and the artifacts of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.adapters.dbt.process.dbt_cli.artifacts import Artifacts
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.values import ON_RUN_END, ON_RUN_START
from dbtorch.adapters.dbt.session.answers import opened
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import Attempt, Finished, Outcome, Started
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, State
from dbtorch.ports.loop import Emit

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.operations.hooks import HookCode
    from dbtorch.adapters.dbt.process.operations.isolated_hooks import IsolatedHooks


class SessionEnds:
    """Opens and closes a run."""

    def __init__(
        self,
        artifacts: Artifacts,
        executable: Executable,
        rules: Sequence[Rule],
        emit: Emit,
    ) -> None:
        self.start_hooks = self.end_hooks = True
        self.contradictions: list[str] = []  # of what dbt said, and what it wrote
        self.doubted: list[str] = []  # nodes that are recorded as good, and may not be
        self._artifacts = artifacts
        self._executable = executable
        self._rules = rules
        self._emit = emit
        self._hooks: IsolatedHooks | None = None
        self._target_path = Path()
        self._builds = False

    def know(self, target_path: Path, hooks: IsolatedHooks | None, *, builds: bool) -> None:
        """Where artifacts go, the project's hooks, and whether a node of dbt's is selected."""
        self._target_path = target_path
        self._hooks = hooks
        self._builds = builds

    def open(self) -> Outcome:
        """Run on-run-start hooks."""
        outcome = self._run_hooks(ON_RUN_START) if self.start_hooks else _FINE
        failed = outcome.state is State.WARN
        blocked = self._hooks is not None and self._hooks.blocks
        return opened(blocked=blocked) if failed else outcome

    def close(self) -> Outcome:
        """Run on-run-end hooks, and write the artifacts of the whole run.

        A dbt that contradicts itself is a failure.
        """
        hooks = self._run_hooks(ON_RUN_END) if self.end_hooks else _FINE
        try:
            self._artifacts.write(self._target_path)
            if self._hooks is not None:
                self._hooks.restore()
        except OSError as error:
            why = f"dbt's artifacts cannot be written ({error.strerror})"
            return Outcome(state=State.FAILED, message=why, failure_class=FailureClass.UNKNOWN)
        if self.contradictions:
            why = "; ".join(self.contradictions)
            reason = Reason(ReasonKind.CONTRADICTED, tuple(dict.fromkeys(self.doubted)), why)
            return Outcome(
                state=State.FAILED, message=why, reason=reason, failure_class=FailureClass.CODE
            )
        return replace(hooks, failure_class=FailureClass.UNKNOWN) if not hooks.state.ok else _FINE

    def _run_hooks(self, side: str) -> Outcome:
        if self._hooks is None or not self._builds:
            return _FINE  # a dbt that selects nothing runs no hooks

        def ended(hook: HookCode, outcome: Outcome) -> None:
            # as dbt writes it, with the error on a line of its own
            message = outcome.message.replace("failed, error: ", "failed, error:\n ", 1)
            result = {"status": "skipped", **outcome.details, "message": message}
            self._artifacts.ended(hook.id, result)
            self._emit(Finished(Attempt(hook.id, 1), outcome))

        return self._hooks.run(
            side,
            self._executable,
            self._artifacts.results(),
            rules=self._rules,
            began=lambda hook: self._emit(Started(Attempt(hook.id, 1))),
            ended=ended,
        )


_FINE = Outcome(state=State.SUCCESS)
