"""`dbtorch alerts list` and `dbtorch alerts flush`: what waits to be told."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dbtorch.app.courier import deliver_one
from dbtorch.cli.errors import NODE_FAILED, OK
from dbtorch.cli.notifying import build_notifiers
from dbtorch.cli.project import Project
from dbtorch.cli.render.table import table
from dbtorch.cli.render.words import first_line, local, many
from dbtorch.core.alert_text import card_headline, headline
from dbtorch.core.alerts import from_json
from dbtorch.core.outbox import Delivery, EntryKind
from dbtorch.core.routing import AlertsSpec, Destination
from dbtorch.core.run_card import card_from_json
from dbtorch.ports import Clock, Store

Echo = Callable[[str], None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def flush(project: Project, store: Store, clock: Clock, *, echo: Echo) -> int:
    """Try everything once, however old. Answers 1 when something is left."""
    notifiers = build_notifiers(project.config.alerts or AlertsSpec())
    for name, why in notifiers.off.items():
        echo(f"{name}: off, {why}")
    store.hurry()
    due, sent = clock.now(), 0
    for name, notifier in notifiers.on.items():
        while True:
            done = deliver_one(store, name, notifier, clock, random.random, due=due, since=_EPOCH)
            if done is None:
                break
            delivery, refused = done
            if refused is not None:
                echo(f"{_place(delivery)}: {_what(delivery)}: not sent, {refused}")
            else:
                sent += 1
    left = store.outbox(pending=True)
    echo(f"{many(sent, 'message')} delivered, {len(left)} left")
    return NODE_FAILED if left else OK


def list_messages(
    store: Store, *, run_id: str | None, pending: bool, format: str, echo: Echo
) -> int:
    """What waits, oldest first."""
    found = store.outbox(run_id=run_id, pending=pending)
    if format == "json":
        echo(json.dumps([_as_json(one) for one in found], indent=2))
        return OK
    if not found:
        echo("nothing waits to be delivered" if pending else "there are no messages")
        return OK
    rows = [[local(one.created_at), _place(one), _what(one), _state(one)] for one in found]
    for line in table(["written", "to", "what", "state"], rows):
        echo(line)
    return OK


def _place(delivery: Delivery) -> str:
    return str(Destination(delivery.entry.notifier, delivery.entry.address))


def _what(delivery: Delivery) -> str:
    body = delivery.entry.body
    if delivery.entry.kind is EntryKind.CARD:
        return card_headline(card_from_json(body["card"]))
    return headline(from_json(body["alert"]))


def _state(delivery: Delivery) -> str:
    if not delivery.pending:
        return f"delivered {local(delivery.sent_at)}" if delivery.sent_at else "delivered"
    if not delivery.error:
        return "waits"
    tries = f"tried {delivery.tries} times" if delivery.tries > 1 else "tried once"
    return f"{tries}: {first_line(delivery.error, 100)}"


def _as_json(delivery: Delivery) -> dict[str, Any]:
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
        "headline": _what(delivery),
        "pending": delivery.pending,
        "tries": delivery.tries,
        "error": delivery.error,
        **times,
    }
