"""An example of every alert, for trying out where they go and what they look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dbtorch.core.alerts.alert import SEVERITIES, Alert, AlertEvent
from dbtorch.core.alerts.card import RunCard
from dbtorch.core.alerts.routing import AlertsSpec
from dbtorch.core.alerts.text import when
from dbtorch.core.model.state import FailureClass

_MESSAGE = 'Binder Error: column "amont" not found\nLINE 12: select amont\n               ^'


def example_card(
    spec: AlertsSpec, *, project: str, pipeline: str, owner: str, now: datetime
) -> RunCard:
    """A run that is under way with one failure."""
    alert = example(
        AlertEvent.FAILED, spec, project=project, pipeline=pipeline, owner=owner, now=now
    )
    assert alert.logical_date is not None
    card = RunCard(
        project=project,
        target=alert.target,
        pipeline=pipeline,
        run_id=alert.run_id,
        logical_date=alert.logical_date,
        started_at=now - timedelta(minutes=4),
        counts={"failed": 1, "upstream_failed": 12, "success": 34, "running": 2},
        command=alert.command,
        test=True,
    )
    return card.failing(alert)


def examples(
    spec: AlertsSpec, *, project: str, pipeline: str, owner: str, now: datetime
) -> Iterator[Alert]:
    """One alert of each event."""
    for event in AlertEvent:
        yield example(event, spec, project=project, pipeline=pipeline, owner=owner, now=now)


def example(
    event: AlertEvent,
    spec: AlertsSpec,
    *,
    project: str,
    pipeline: str,
    owner: str,
    now: datetime,
) -> Alert:
    """An alert that says that it is a test."""
    alert = Alert(
        event=event,
        severity=SEVERITIES[event],
        at=now,
        project=project,
        target="example",
        pipeline=pipeline,
        run_id=f"example-{now:%Y%m%dT%H%M%SZ}",
        logical_date=now.replace(minute=0, second=0, microsecond=0),
        owner=owner,
        mention=spec.route(owner).mention if owner else (),
        test=True,
    )
    return replace(alert, **_MORE[event](alert))


_MODEL: dict[str, Any] = {
    "node_id": "model.example.fct_orders",
    "kind": "model",
    "name": "fct_orders",
    "path": "models/marts/fct_orders.sql",
}


def _failure(alert: Alert) -> dict[str, Any]:
    return {
        **_MODEL,
        "attempt": 1,
        "attempts": 1,
        "failure_class": FailureClass.CODE,
        "message": _MESSAGE,
        "sql_line": "line 12: select amont",
        "blocked": 12,
        "blocked_names": ("weekly_kpis", "fct_kpis"),
        "log": f".dbtorch/runs/{alert.run_id}/nodes/model.example.fct_orders.1.log",
        "command": f"dbtorch retry {alert.run_id}",
    }


def _lasting(alert: Alert, runs: int) -> dict[str, Any]:
    return {"in_a_row": runs, "since": alert.at - timedelta(days=runs)}


def _retrying(alert: Alert) -> dict[str, Any]:
    return {
        **_MODEL,
        "attempt": 1,
        "attempts": 3,
        "failure_class": FailureClass.TRANSIENT,
        "message": "server closed the connection unexpectedly",
        "retry_at": alert.at + timedelta(seconds=30),
    }


_STALE: dict[str, Any] = {
    "node_id": "source.example.shop.orders",
    "kind": "source",
    "name": "shop.orders",
    "facts": (("Age", "31 h, allowed 24 h"),),
}


def _check(alert: Alert) -> dict[str, Any]:
    node_id = "check.model.example.fct_orders"
    return {
        **_failure(alert),
        "node_id": node_id,
        "kind": "check",
        "name": "check of model fct_orders",
        "failure_class": FailureClass.DATA,
        "message": "row_count: 0 rows, usually about 12,000; at least 1 expected",
        "sql_line": "",
        "log": f".dbtorch/runs/{alert.run_id}/nodes/{node_id}.1.log",
    }


def _deadline(alert: Alert) -> dict[str, Any]:
    return {"facts": (("Deadline", when(alert.at)),)}


def _at_risk(alert: Alert) -> dict[str, Any]:
    expected = ("Expected end", when(alert.at + timedelta(minutes=20)))
    costs = ("Costs the most", "model fct_orders, 48m 00s")
    return {"facts": (*_deadline(alert)["facts"], expected, costs)}


_MORE: dict[AlertEvent, Callable[[Alert], dict[str, Any]]] = {
    AlertEvent.FAILED: _failure,
    AlertEvent.RECOVERED: lambda alert: {**_MODEL, **_lasting(alert, 3)},
    AlertEvent.RETRYING: _retrying,
    AlertEvent.STALE: lambda _: _STALE,
    AlertEvent.CHECK: _check,
    AlertEvent.DEADLINE_AT_RISK: _at_risk,
    AlertEvent.DEADLINE_MISSED: _deadline,
    AlertEvent.SUCCEEDED: lambda _: {},
    AlertEvent.GATED: lambda _: {
        "facts": (("Waits for source shop.orders", "1 node: fct_orders"),)
    },
    AlertEvent.REMINDER: lambda alert: {**_failure(alert), **_lasting(alert, 9)},
}
