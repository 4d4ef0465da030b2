"""What tells people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # so that a command that only reads imports no more of the core than it uses
    from dbtorch.core.alerts.outbox import Delivery, Style


class Notifier(Protocol):
    """Tells people. One message at a time, from one thread."""

    @property
    def style(self) -> Style:
        """How it tells about a run."""

    def deliver(self, delivery: Delivery, thread: Delivery | None) -> Mapping[str, Any]:
        """Send a message, or the new version of one; answers a receipt, which is JSON.

        ``thread`` is the message that begins the thread it belongs to. With ``delivery.unsure``
        an earlier try may have arrived. Raises `NotDelivered`.
        """


class NotDelivered(Exception):
    """A message was not sent; the text says why in one sentence."""

    def __init__(
        self,
        text: str,
        *,
        retry_after: float | None = None,
        hopeless: bool = False,
        unsure: bool = False,
    ) -> None:
        """``retry_after`` are seconds the other side asked for.

        ``hopeless`` says that a person has to do something first; ``unsure`` that the message may
        have arrived all the same, because there was no answer.
        """
        self.retry_after = retry_after
        self.hopeless = hopeless
        self.unsure = unsure
        super().__init__(text)
