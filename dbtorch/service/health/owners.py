"""Telling owners of what is stale, apart from any run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from dbtorch.adapters.clock import SystemClock
from dbtorch.app.delivery import deliver_one
from dbtorch.app.step_wiring import step_node
from dbtorch.core.alerts.messages import AlertContext
from dbtorch.core.alerts.outbox import TRIED_FOR
from dbtorch.core.alerts.routing import AlertsSpec, Destination
from dbtorch.core.alerts.staleness import NO_PIPELINE, overdue
from dbtorch.core.errors import UsageError
from dbtorch.core.history.health import Health, HealthFacts, Item
from dbtorch.core.model.graph import Graph, Kind
from dbtorch.core.model.ownership import owned
from dbtorch.core.plan import Plan
from dbtorch.ports.loop import Clock
from dbtorch.ports.store import Store
from dbtorch.service.alerts.notifiers import Notifiers, build_notifiers
from dbtorch.service.health.health import ProjectHealth
from dbtorch.service.project.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """What became of telling owners."""

    silent: str = ""  # why nobody is told about this target
    off: Mapping[str, str] = field(default_factory=dict)  # notifier -> why it cannot be used
    refused: tuple[tuple[Destination, str], ...] = ()  # where a message was not sent to, and why
    things: int = 0  # that there was something to tell of
    waiting: int = 0  # messages that are left in the outbox


def require_alerts(project: Project) -> None:
    """Raise `UsageError` where no alerts are configured."""
    if not (project.config.alerts and project.config.alerts.notifiers):
        raise UsageError(
            "alerts are not configured, so --alert tells nobody; write `alerts: {slack: {token: …,"
            " channel: …}}`, `webhook` or `email` into dbtorch.yml"
        )


def tell_owners(
    project: Project, store: Store, found: ProjectHealth, *, clock: Clock | None = None
) -> Notified:
    """Tell the owners of what is stale or failed, each once, and deliver what waits.

    ``store`` must be open for writing. Raises `StoreError`.
    """
    clock = clock or SystemClock()
    config, standing, now = project.config, found.standing, clock.now()
    spec = config.alerts or AlertsSpec()
    if spec.notifiers and (why := spec.silence(standing.target)):
        return Notified(silent=why)
    notifiers = build_notifiers(spec)
    everything = owned(
        (*found.nodes, *map(step_node, config.steps.values())),
        among=found.nodes,
        edges=found.edges,
        folders=spec.folders,
        otherwise=config.defaults.owner or "",
    )
    scene = AlertContext(
        project=project.name,
        target=standing.target,
        pipeline=NO_PIPELINE,
        run_id="",
        logical_date=now,
        started_at=now,
        plan=Plan(graph=Graph(everything, ()), policies={}),
        spec=spec,
        nodes=tuple(everything),
        edges=found.edges,
        default_owner=config.defaults.owner or "",
        scrub=notifiers.hide,
    )
    late = overdue(
        [item for item in found.items if not _told_by_a_run(item, store, standing)],
        scene,
        {name: place.address for name, place in notifiers.places.items()},
        store.incidents(standing.target, NO_PIPELINE),
        {name: pipeline.owner for name, pipeline in config.pipelines.items()},
        now,
    )
    store.alert(late.entries, late.incidents, at=now)
    refused = tuple(_deliver(store, notifiers, clock))
    return Notified(
        off=notifiers.off,
        refused=refused,
        things=len(late.told),
        waiting=sum(not one.entry.run_id for one in store.outbox(pending=True)),
    )


def _told_by_a_run(item: Item, store: Store, standing: HealthFacts) -> bool:
    """Whether the gate of a run has told of this source, and will tell how it goes on."""
    if item.kind != Kind.SOURCE or item.health is not Health.STALE:
        return False
    pipelines = {run.pipeline for run in standing.runs}
    return any(
        incident.node_id == item.id
        for pipeline in pipelines
        for incident in store.incidents(standing.target, pipeline)
    )


def _deliver(store: Store, notifiers: Notifiers, clock: Clock) -> Iterator[tuple[Destination, str]]:
    due = clock.now()
    deliver = partial(deliver_one, random=random.random, hide=notifiers.hide)
    for name, notifier in notifiers.on.items():
        while True:
            done = deliver(store, name, notifier, clock, due=due, since=due - TRIED_FOR)
            if done is None:
                break
            delivery, refused = done
            if refused is not None:
                yield Destination(name, delivery.entry.address), str(refused)
