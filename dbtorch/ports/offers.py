"""Attempts that are offered to workers of other machines, in the store that all of them share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # so that a command that only reads imports no more of the core than it uses
    from dbtorch.core.history.records import Lease
    from dbtorch.core.model.events import Outcome
    from dbtorch.core.model.offer import Offer, QueueDepth, Standing


class Offers(Protocol):
    """Every write is committed when the call returns. The database's clock alone says what is over.

    A supervisor is named by its lease, a worker by a text that no other one has.
    """

    def offer(self, offer: Offer, lease: Lease) -> None:
        """Let workers claim an attempt as long as the lease holds; twice is once.

        Raises `LeaseLost`.
        """

    def offers(self, lease: Lease) -> list[Offer]:
        """Those of this supervisor; one whose worker was not heard of in time is lost by now."""

    def call_off(self, tokens: Collection[str]) -> None:
        """Withdraw what nobody has claimed, and let workers hear that the rest is to end."""

    def orphans(self, lease: Lease, runs: Collection[str]) -> list[Offer]:
        """Call off what supervisors have left that are gone; answers what workers still have.

        Those of ``runs`` have gone, but for the one with the lease.
        """

    def settle(self, tokens: Collection[str]) -> None:
        """Forget offers that nobody has any more, with what was said."""

    def said(self, token: str, *, after: int) -> list[tuple[int, str]]:
        """Pieces of the log of an attempt with a number greater than ``after``, in order."""

    def claim_offer(self, token: str, worker: str, lifetime: timedelta) -> Offer | None:
        """Take an attempt for so long; None where there is nothing to claim.

        Nobody else can from then on, and nobody can whose supervisor is gone.
        """

    def attend(self, token: str, worker: str, lifetime: timedelta) -> Standing:
        """Keep an attempt for so long from now; answers whether it is to go on."""

    def began(self, token: str, worker: str) -> None:
        """Write that the process of an attempt is there."""

    def say(self, token: str, worker: str, number: int, text: str) -> None:
        """Add a piece to the log of an attempt; numbers begin at 1, and twice is once."""

    def report(self, token: str, worker: str, outcome: Outcome) -> bool:
        """Write what came of an attempt; False where it is not this worker's any more."""

    def queue_depths(self) -> Mapping[str, QueueDepth]:
        """What waits, and what workers have, by queue."""
