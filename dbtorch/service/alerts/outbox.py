"""What waits to be told: delivering it at once, and its shape for programs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dbtorch.adapters.clock import SystemClock
from dbtorch.app.delivery import deliver_one
from dbtorch.core.alerts.alert import from_json
from dbtorch.core.alerts.card import card_from_json
from dbtorch.core.alerts.outbox import Delivery, EntryKind
from dbtorch.core.alerts.routing import AlertsSpec
from dbtorch.core.alerts.text import card_headline, headline
from dbtorch.ports.loop import Clock
from dbtorch.ports.store import Store
from dbtorch.service.alerts.notifiers import build_notifiers
from dbtorch.service.project.project import Project

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flushed:
    """What became of delivering all that waited."""

    off: Mapping[str, str]  # notifier -> why it cannot be used
    sent: int
    left: int


def list_messages(
    store: Store, *, run_id: str | None = None, pending: bool = True
) -> tuple[Delivery, ...]:
    """What waits, oldest first; without ``pending`` what was delivered as well."""
    return tuple(store.outbox(run_id=run_id, pending=pending))


def flush(
    project: Project,
    store: Store,
    *,
    clock: Clock | None = None,
    refused: Callable[[Delivery, str], None] = lambda _delivery, _why: None,
) -> Flushed:
    """Try everything once, however old; ``refused`` is told what was not sent, and why.

    ``store`` must be open for writing. Raises `StoreError`.
    """
    clock = clock or SystemClock()
    notifiers = build_notifiers(project.config.alerts or AlertsSpec())
    store.hurry()
    due, sent = clock.now(), 0
    deliver = partial(deliver_one, random=random.random, hide=notifiers.hide)
    for name, notifier in notifiers.on.items():
        while (done := deliver(store, name, notifier, clock, due=due, since=_EPOCH)) is not None:
            delivery, why = done
            if why is not None:
                refused(delivery, str(why))
            sent += why is None
    return Flushed(off=notifiers.off, sent=sent, left=len(store.outbox(pending=True)))


def headline_of(delivery: Delivery) -> str:
    """What a message is about, in a line."""
    body = delivery.entry.body
    if delivery.entry.kind is EntryKind.CARD:
        return card_headline(card_from_json(body["card"]))
    return headline(from_json(body["alert"]))


def message_json(delivery: Delivery) -> dict[str, Any]:
    """A message for programs."""
    entry = delivery.entry
    times = {
        name: None if moment is None else moment.isoformat()
        for name in ("created_at", "updated_at", "sent_at", "next_try_at")
        for moment in [getattr(delivery, name)]
    }
    return {
        "key": entry.key,
        "notifier": entry.notifier,
        "address": entry.address,
        "kind": entry.kind.value,
        "run_id": entry.run_id,
        "headline": headline_of(delivery),
        "pending": delivery.pending,
        "tries": delivery.tries,
        "error": delivery.error,
        **times,
    }
