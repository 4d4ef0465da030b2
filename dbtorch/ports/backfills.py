"""What keeps backfills, so that each of their partitions is started once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dbtorch.core.schedule.backfill import Backfill, BackfillState, Part


class Backfills(Protocol):
    """Backfills of one project. Every write is committed when the call returns.

    A part is started as a tick is: what was decided is written only if the backfill is still as it
    was looked at, and a run begins in the commit in which its part is started, only while the claim
    that it was started with still holds.
    """

    def add_backfill(self, backfill: Backfill) -> Backfill | None:
        """Keep a new one with all its parts, unless its pipeline has one that is not over.

        Answers the one that there is.
        """

    def backfills(self, *, over: bool = False, parts: bool = False) -> list[Backfill]:
        """Those that are not over, the oldest first; with ``over`` the others, too.

        Each with its claimed and started parts and the next that wait, or with all ``parts``.
        """

    def decide_backfill(
        self, backfill: Backfill, parts: Sequence[Part], state: BackfillState | None = None
    ) -> bool:
        """Write parts, and another state, unless somebody else came first."""
