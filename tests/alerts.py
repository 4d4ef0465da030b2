"""Alerts and messages for tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dbtorch.core.alerts.alert import SEVERITIES, Alert, AlertEvent, to_json
from dbtorch.core.alerts.card import RunCard, card_to_json
from dbtorch.core.alerts.outbox import Delivery, Entry, EntryKind
from dbtorch.core.model.state import FailureClass, RunState

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN = "20260301T120000Z-aaaaaa"


def an_alert(event=AlertEvent.FAILED, **given) -> Alert:
    values = {
        "event": event,
        "severity": SEVERITIES[event],
        "at": NOON + timedelta(minutes=3),
        "project": "shop",
        "target": "prod",
        "pipeline": "daily",
        "run_id": RUN,
        "logical_date": NOON - timedelta(hours=6),
        "owner": "finance",
        "mention": ("U0000ANA",),
    }
    return Alert(**{**values, **given})


def a_failure(event=AlertEvent.FAILED, **given) -> Alert:
    values = {
        "node_id": "model.shop.fct_orders",
        "kind": "model",
        "name": "fct_orders",
        "path": "models/marts/fct_orders.sql",
        "runbook": "https://git.example.com/shop/docs/runbooks/fct_orders.md",
        "attempt": 3,
        "attempts": 3,
        "failure_class": FailureClass.TRANSIENT,
        "message": 'Binder Error: column "amont" not found\n\nLINE 12: select amont\n               ^',
        "sql_line": "line 12: select amont",
        "blocked": 12,
        "blocked_names": ("weekly_kpis", "fct_kpis", "fct_revenue"),
        "log": f".dbtorch/runs/{RUN}/nodes/model.shop.fct_orders.3.log",
        "command": f"dbtorch retry {RUN}",
        "since": NOON + timedelta(minutes=3),
    }
    return an_alert(event, **{**values, **given})


def a_check(**given) -> Alert:
    values = {
        "node_id": "check.model.shop.fct_orders",
        "kind": "check",
        "name": "check of model fct_orders",
        "attempt": 1,
        "attempts": 1,
        "failure_class": FailureClass.DATA,
        "message": "row_count: 0 rows, usually about 12,000; at least 1 expected",
        "sql_line": "",
        "log": f".dbtorch/runs/{RUN}/nodes/check.model.shop.fct_orders.1.log",
    }
    return a_failure(AlertEvent.CHECK, **{**values, **given})


def one_of_each() -> dict[AlertEvent, Alert]:
    """An example of every event."""
    nowhere = {"attempt": 0, "message": "", "sql_line": "", "blocked": 0, "blocked_names": ()}
    source = {"kind": "source", "name": "shop.orders", "node_id": "source.shop.orders", **nowhere}
    quiet = {"failure_class": None, "log": "", "command": ""}
    return {
        AlertEvent.FAILED: a_failure(),
        AlertEvent.RECOVERED: a_failure(
            AlertEvent.RECOVERED, **nowhere, **quiet, in_a_row=3, since=NOON - timedelta(days=2)
        ),
        AlertEvent.RETRYING: a_failure(
            AlertEvent.RETRYING,
            attempt=1,
            retry_at=NOON + timedelta(minutes=4),
            blocked=0,
            blocked_names=(),
            command="",
        ),
        AlertEvent.STALE: a_failure(
            AlertEvent.STALE, **source, **quiet, facts=(("Age", "31 h, allowed 24 h"),)
        ),
        AlertEvent.CHECK: a_check(),
        AlertEvent.DEADLINE_AT_RISK: an_alert(
            AlertEvent.DEADLINE_AT_RISK,
            facts=(
                ("Deadline", "2026-03-01 14:00 UTC"),
                ("Expected end", "2026-03-01 14:20 UTC"),
                ("Costs the most", "model fct_orders, 48m 00s"),
            ),
        ),
        AlertEvent.DEADLINE_MISSED: an_alert(
            AlertEvent.DEADLINE_MISSED, facts=(("Deadline", "2026-03-01 14:00 UTC"),)
        ),
        AlertEvent.SUCCEEDED: an_alert(AlertEvent.SUCCEEDED),
        AlertEvent.GATED: an_alert(
            AlertEvent.GATED, facts=(("Waits for source shop.orders", "2 nodes: kpis, orders"),)
        ),
        AlertEvent.REMINDER: a_failure(
            AlertEvent.REMINDER, in_a_row=9, since=NOON - timedelta(days=2)
        ),
    }


def a_card(*failures, **given) -> RunCard:
    card = RunCard(
        project="shop",
        target="prod",
        pipeline="daily",
        run_id=RUN,
        logical_date=NOON - timedelta(hours=6),
        started_at=NOON,
        counts={"success": 34, "failed": len(failures), "upstream_failed": 500},
        command=f"dbtorch retry {RUN}",
    )
    for failure in failures:
        card = card.failing(failure)
    return replace(card, **given)


def over(card: RunCard, state=RunState.FAILED) -> RunCard:
    return replace(card, state=state, finished_at=NOON + timedelta(minutes=12))


def a_delivery(body, *, notifier="slack", address="#data", **given) -> Delivery:
    """An alert or a card as it comes out of the outbox; ``thread`` and ``loud`` go with it."""
    card = isinstance(body, RunCard)
    said = {"card": card_to_json(body)} if card else {"alert": to_json(body), "loud": True}
    entry = Entry(
        key=body.key,
        notifier=notifier,
        address=address,
        kind=EntryKind.CARD if card else EntryKind.NOTE,
        run_id=body.run_id,
        thread=given.pop("thread", ""),
        body={**said, **given.pop("more", {})},
    )
    return Delivery(entry=entry, created_at=NOON, updated_at=NOON, **given)
