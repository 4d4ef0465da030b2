"""A batch of sources: how old they are."""

from __future__ import annotations

from dbtorch.adapters.dbt.process.dbt_cli.artifacts import Artifacts
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.freshness import FreshnessCheck
from dbtorch.core.model.events import Attempt, Batch, Ended, Finished, Started
from dbtorch.ports.loop import Emit


class Sources:
    """One `dbt source freshness` with a batch in its hands."""

    def __init__(
        self,
        batch: Batch,
        check: FreshnessCheck,
        executable: Executable,
        artifacts: Artifacts,
        emit: Emit,
        *,
        grace: float,
    ) -> None:
        """``executable`` is the check's alone; ``grace`` are seconds from interrupt to kill."""
        self.batch = batch
        self._check = check
        self._executable = executable
        self._artifacts = artifacts
        self._emit = emit
        self._grace = grace
        self._cancelled = False

    def follow(self) -> None:
        """Check them, and tell of each. Raises `EngineError`."""
        for attempt in self.batch.attempts:
            self._emit(Started(attempt))
        ids = [attempt.node_id for attempt in self.batch.attempts]
        found = self._check.check(ids, stop=lambda: self._cancelled)
        for attempt in self.batch.attempts:
            outcome, written = found[attempt.node_id]
            self._artifacts.checked(attempt.node_id, written)
            self._emit(Finished(attempt, outcome))
        self._emit(Ended(self.batch, ""))

    def cancel(self, attempt: Attempt) -> None:
        """Interrupt dbt, which checks all of them."""
        self._cancelled = True
        self._executable.interrupt(self._grace)

    def kill(self, why: str) -> None:
        """End dbt at once."""
        self._cancelled = True
        self._executable.kill()
