"""Two that execute steps, as one."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbtorch.core.model.events import Attempt, Batch
    from dbtorch.ports.steps import Steps


class SplitSteps:
    """Implements `Steps`: what is ``far`` goes to one side, all else to the other."""

    def __init__(self, near: Steps, away: Steps, far: Collection[str]) -> None:
        """``far`` has ids of nodes."""
        self._near = near
        self._away = away
        self._far = far

    def start(self, batch: Batch) -> None:
        """Execute a batch, which is of one step; returns at once."""
        self._side(batch.attempts[0]).start(batch)

    def cancel(self, attempt: Attempt) -> None:
        """End an attempt; it still reports how it ended."""
        self._side(attempt).cancel(attempt)

    def kill(self) -> None:
        """End every process at once and wait for nothing; without a lock, for signal handlers."""
        self._near.kill()
        self._away.kill()

    def close(self) -> None:
        """End everything that still runs; returns when it has."""
        try:
            self._near.close()
        finally:
            self._away.close()

    def _side(self, attempt: Attempt) -> Steps:
        return self._away if attempt.node_id in self._far else self._near
