"""What is stale, told apart from any run: once, until it is well again or long after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from dbtorch.core.alerts.alert import Alert, AlertEvent, Severity, to_json
from dbtorch.core.alerts.incidents import Incident, Verdict
from dbtorch.core.alerts.messages import AlertContext
from dbtorch.core.alerts.outbox import Entry, EntryKind
from dbtorch.core.alerts.routing import destinations
from dbtorch.core.history.health import PIPELINE, Health, Item
from dbtorch.core.model.state import FailureClass

#: The pipeline of incidents that belong to none.
NO_PIPELINE = ""


@dataclass(slots=True)
class Staleness:
    """What there is to tell of how a project stands, and what to remember of it."""

    entries: list[Entry] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    told: list[Item] = field(default_factory=list)  # aloud, this time


def overdue(
    items: Iterable[Item],
    scene: AlertContext,
    addresses: Mapping[str, str],
    known: Iterable[Incident],
    owners: Mapping[str, str],
    now: datetime,
) -> Staleness:
    """What to tell of these items; ``known`` are incidents that are open.

    ``addresses`` has the notifiers that are on, ``owners`` those of pipelines by name.
    """
    found, open_ones = Staleness(), {incident.node_id: incident for incident in known}
    for item in items:
        before = open_ones.get(item.id)
        if item.health is Health.STALE:
            incident, verdict = _again(before, item, scene, now)
            found.incidents.append(incident)
            if verdict is Verdict.AGAIN:
                continue
            alert = replace(_alert(item, scene, owners, now), since=incident.opened_at)
            found.told.append(item)
        elif item.healthy and before is not None:
            found.incidents.append(before.over(now))
            alert = replace(
                _alert(item, scene, owners, now),
                event=AlertEvent.RECOVERED,
                severity=Severity.INFO,
                failure_class=None,
                facts=(),
                since=before.opened_at,
            )
        else:
            continue
        loud = alert.event is AlertEvent.STALE
        for place in destinations(alert, scene.spec, addresses):
            found.entries.append(
                Entry(
                    key=f"status/{alert.event.value}/{item.id}/{now.isoformat()}",
                    notifier=place.notifier,
                    address=place.address,
                    kind=EntryKind.NOTE,
                    body={"alert": to_json(alert), "loud": loud},
                )
            )
    return found


def _alert(item: Item, scene: AlertContext, owners: Mapping[str, str], now: datetime) -> Alert:
    if item.kind != PIPELINE:
        return replace(scene.stale(item.id, now, scene.scrub(item.why)), logical_date=None)
    owner = owners.get(item.name) or scene.default_owner
    alert = scene.of_run(AlertEvent.STALE, now, [("Age", item.why)])
    mention = scene.spec.route(owner).mention if owner else ()
    return replace(alert, pipeline=item.name, owner=owner, mention=mention, logical_date=None)


def _again(
    before: Incident | None, item: Item, scene: AlertContext, now: datetime
) -> tuple[Incident, Verdict]:
    if before is not None:
        return before.again(
            run_id="",
            failure_class=FailureClass.DATA,
            now=now,
            remind_after=scene.spec.remind_after,
        )
    opened = Incident(
        project=scene.project,
        target=scene.target,
        pipeline=NO_PIPELINE,
        node_id=item.id,
        failure_class=FailureClass.DATA,
        opened_run="",
        opened_at=now,
        last_run="",
        told_at=now,
    )
    return opened, Verdict.FIRST
