"""What brings the word that there is work from a supervisor to workers of other machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Queue(Protocol):
    """Carries tokens. One may come twice, late, or not at all: the store says what there is to do.

    It tries nothing again by itself, and knows of no order.
    """

    def send(self, queue: str, token: str) -> None:
        """Put a token there, unless it waits there already. Raises `QueueError`."""

    def serve(self, queues: Sequence[str], work: Callable[[str], None], *, at_once: int) -> None:
        """Call ``work`` with each token that comes, in threads, until `stop`.

        Returns when all calls have. What ``work`` raises is logged. A queue that is away is waited
        for. Raises `QueueError` where it can never be served.
        """

    def stop(self) -> None:
        """Take no more tokens; from any thread, more than once."""

    def close(self) -> None:
        """Close connections."""
