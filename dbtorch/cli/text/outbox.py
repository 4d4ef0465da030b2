"""What waits to be told, as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import to_json
from dbtorch.cli.text.words import local
from dbtorch.core.alerts.outbox import Delivery
from dbtorch.core.alerts.routing import Destination
from dbtorch.core.failures.message import first_line
from dbtorch.core.text.phrases import many
from dbtorch.service.alerts.outbox import Flushed, headline_of, message_json


def outbox_json(found: Sequence[Delivery]) -> str:
    """For programs."""
    return to_json([message_json(one) for one in found], indent=2)


def outbox_text(found: Sequence[Delivery], *, pending: bool) -> str:
    """A table; ``pending`` says whether only what waits is listed."""
    if not found:
        return "nothing waits to be delivered" if pending else "there are no messages"
    rows = [[local(one.created_at), _place(one), headline_of(one), _state(one)] for one in found]
    return "\n".join(table(["written", "to", "what", "state"], rows))


def refused_text(delivery: Delivery, why: str) -> str:
    """A message that was not sent."""
    return f"{_place(delivery)}: {headline_of(delivery)}: not sent, {why}"


def flushed_text(done: Flushed) -> str:
    """How much was delivered."""
    return f"{many(done.sent, 'message')} delivered, {done.left} left"


def _place(delivery: Delivery) -> str:
    return str(Destination(delivery.entry.notifier, delivery.entry.address))


def _state(delivery: Delivery) -> str:
    if not delivery.pending:
        return f"delivered {local(delivery.sent_at)}" if delivery.sent_at else "delivered"
    if not delivery.error:
        return "waits"
    tries = f"tried {delivery.tries} times" if delivery.tries > 1 else "tried once"
    return f"{tries}: {first_line(delivery.error, 100)}"
