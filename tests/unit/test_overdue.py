"""Stale things are told once, until they are well again or long after."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dbtorch.core.alerts.alert import from_json
from dbtorch.core.alerts.messages import AlertContext
from dbtorch.core.alerts.routing import AlertsSpec, OwnerRoute
from dbtorch.core.alerts.staleness import NO_PIPELINE, overdue
from dbtorch.core.history.health import Health, Item
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.plan import Plan
from dbtorch.testing.store import MemoryStore
from tests.unit.story import NOON

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MART = Node(id="model.shop.mart", kind=Kind.MODEL, name="mart", owner="ana")
SPEC = AlertsSpec(owners={"ana": OwnerRoute(addresses={"slack": "#ana"}, mention=("U1",))})


@pytest.fixture
def store():
    return MemoryStore()


def mart(health=Health.STALE):
    return Item(kind="model", id=MART.id, name="mart", health=health, why="31 h old, allowed 24 h")


def look(store, now, *items, spec=SPEC):
    scene = AlertContext(
        project="shop", target="prod", pipeline=NO_PIPELINE, run_id="", logical_date=now,
        started_at=now, plan=Plan(graph=Graph([MART], []), policies={}), spec=spec, nodes=(MART,),
        default_owner="data",
    )  # fmt: skip
    known = store.incidents("prod", NO_PIPELINE)
    found = overdue(items, scene, {"slack": "#all"}, known, {"daily": "ana"}, now)
    store.alert(found.entries, found.incidents, at=now)
    return [item.label for item in found.told]


def said(store):
    found = [(one.entry, from_json(one.entry.body["alert"])) for one in store.outbox()]
    return [(entry.address, a.event.value, entry.body["loud"]) for entry, a in found]


def test_it_is_told_once_and_again_when_it_is_well(store):
    assert look(store, NOON, mart()) == ["model mart"]
    assert look(store, NOON + HOUR, mart()) == []
    assert look(store, NOON + 2 * HOUR, mart(Health.UNKNOWN)) == []  # nobody knows: nothing new
    assert look(store, NOON + 3 * HOUR, mart(Health.OK)) == []
    assert look(store, NOON + 4 * HOUR, mart(Health.OK)) == []
    assert said(store) == [("#ana", "stale", True), ("#ana", "recovered", False)]
    assert look(store, NOON + DAY, mart()) == ["model mart"]  # another time
    assert [event for _, event, _ in said(store)] == ["stale", "recovered", "stale"]


def test_it_is_told_again_after_the_time_the_configuration_gives(store):
    spec = AlertsSpec(remind_after=DAY.total_seconds())
    told = [look(store, NOON + hours * HOUR, mart(), spec=spec) for hours in (0, 23, 24, 47, 48)]
    assert told == [["model mart"], [], ["model mart"], [], ["model mart"]]
    alerts = [from_json(one.entry.body["alert"]) for one in store.outbox()]
    assert [alert.since for alert in alerts] == [NOON] * 3


def test_an_alert_says_how_old_and_whose_it_is(store):
    pipeline = Item(
        kind="pipeline", id="pipeline.daily", name="daily", health=Health.STALE, why="27 h old"
    )
    failed = Item(kind="pipeline", id="pipeline.x", name="x", health=Health.FAILED, why="failed")
    assert look(store, NOON, mart(), pipeline, failed) == ["model mart", "pipeline daily"]
    node, run = (from_json(one.entry.body["alert"]) for one in store.outbox())
    assert (node.name, node.owner, node.mention) == ("mart", "ana", ("U1",))
    assert (node.run_id, node.pipeline, node.logical_date) == ("", "", None)
    assert node.facts == (("Age", "31 h old, allowed 24 h"),)
    assert (run.name, run.pipeline, run.owner, run.mention) == ("", "daily", "ana", ("U1",))
