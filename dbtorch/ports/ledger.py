"""What keeps which ticks of schedules were started, so that each is started once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dbtorch.core.model.state import RunState
    from dbtorch.core.schedule.ledger import (
        Happened,
        LedgerView,
        Pause,
        ScheduleChange,
        ScheduleKey,
        TickRecord,
    )


class Ledger(Protocol):
    """Ticks of one project. Every write is committed when the call returns.

    The database sees to it that a tick is started once: what a scheduler has decided is written
    only if the pipeline is still as it was looked at, and a run begins in the same commit in which
    its tick is started, only while the claim that it was started with still holds.
    """

    def ledger(self) -> LedgerView:
        """How all schedules stand, and who holds which lease."""

    def decide(self, changes: Sequence[ScheduleChange]) -> frozenset[ScheduleKey]:
        """Write what was decided; answers for which pipelines nobody else came first."""

    def trigger(self, key: ScheduleKey, tick: TickRecord) -> TickRecord | None:
        """Add a tick that no schedule makes, at the time of the database.

        One whose cause has a key that a tick of the pipeline had is not added; answers that one.
        """

    def last_end(self, key: ScheduleKey, states: Collection[str]) -> Happened | None:
        """The last end of a whole run of a pipeline in one of these states."""

    def last_update(self, place: str, node_id: str) -> Happened | None:
        """The last success of a node where a target builds, by a run of any pipeline."""

    def pause(self, key: ScheduleKey, pause: Pause | None) -> Pause | None:
        """Pause a pipeline, or resume it with None; answers the pause that there was."""

    def ticks(
        self, pipeline: str | None = None, *, limit: int = 20, since: datetime | None = None
    ) -> list[tuple[ScheduleKey, TickRecord]]:
        """Ticks with what became of them, the newest first."""

    def outcomes(self, *, since: datetime) -> dict[str, RunState]:
        """How the runs stand, by id, of ticks from a time on; without those that were pruned."""

    def skipped(self) -> dict[tuple[str, str], int]:
        """How many ticks were skipped, by pipeline and reason."""
