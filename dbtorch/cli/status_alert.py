"""`dbtorch status --alert`: tells owners of what is stale, apart from any run."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import click

from dbtorch.app.courier import deliver_one
from dbtorch.app.planning import step_node
from dbtorch.cli.notifying import build_notifiers
from dbtorch.cli.project import Project
from dbtorch.cli.render.words import many
from dbtorch.core.alert_making import Scene
from dbtorch.core.graph import Graph, Node
from dbtorch.core.outbox import TRIED_FOR
from dbtorch.core.overdue import NO_PIPELINE, Overdue, overdue
from dbtorch.core.plan import Plan
from dbtorch.core.routing import AlertsSpec, Destination
from dbtorch.core.scrub import scrubber
from dbtorch.core.standing import Health, Item, Standing
from dbtorch.ports import Clock, Notifier, Store


def tell(
    project: Project,
    store: Store,
    standing: Standing,
    nodes: Sequence[Node],
    edges: tuple[tuple[str, str], ...],
    items: Sequence[Item],
    clock: Clock,
) -> None:
    """Keep what there is to tell, and deliver what waits; ``nodes`` are dbt's."""
    config, now = project.config, clock.now()
    spec = config.alerts or AlertsSpec()
    notifiers = build_notifiers(spec)
    for name, why in notifiers.off.items():
        click.echo(f"alerts.{name} is off: {why}", err=True)
    everything = (*nodes, *map(step_node, config.steps.values()))
    scene = Scene(
        project=project.name,
        target=standing.target,
        pipeline=NO_PIPELINE,
        run_id="",
        logical_date=now,
        started_at=now,
        plan=Plan(graph=Graph(everything, ()), policies={}),
        spec=spec,
        nodes=everything,
        edges=edges,
        default_owner=config.defaults.owner or "",
        scrub=scrubber(notifiers.secrets),
    )
    found = overdue(
        [item for item in items if not _told_by_a_run(item, store, project, standing)],
        scene,
        {name: place.address for name, place in notifiers.places.items()},
        store.incidents(project.name, standing.target, NO_PIPELINE),
        {name: pipeline.owner for name, pipeline in config.pipelines.items()},
        now,
    )
    store.alert(found.entries, found.incidents, at=now)
    _deliver(store, notifiers.on, clock)
    _say(found, store)


def _told_by_a_run(item: Item, store: Store, project: Project, standing: Standing) -> bool:
    """Whether the gate of a run has told of this source, and will tell how it goes on."""
    if item.kind != "source" or item.health is not Health.STALE:
        return False
    pipelines = {run.pipeline for run in standing.runs}
    return any(
        incident.node_id == item.id
        for pipeline in pipelines
        for incident in store.incidents(project.name, standing.target, pipeline)
    )


def _deliver(store: Store, notifiers: Mapping[str, Notifier], clock: Clock) -> None:
    due = clock.now()
    for name, notifier in notifiers.items():
        while True:
            done = deliver_one(
                store, name, notifier, clock, random.random, due=due, since=due - TRIED_FOR
            )
            if done is None:
                break
            delivery, refused = done
            if refused is not None:
                place = Destination(name, delivery.entry.address)
                click.echo(f"{place}: not sent, {refused}", err=True)


def _say(found: Overdue, store: Store) -> None:
    left = sum(not one.entry.run_id for one in store.outbox(pending=True))
    waits = f", {many(left, 'message')} wait in the outbox" if left else ""
    click.echo(f"told of {many(len(found.told), 'thing')}{waits}", err=True)
