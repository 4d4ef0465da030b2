"""The place that builds notifiers, and what tells people about a run."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from dbtorch.adapters.run_files import RunFiles
from dbtorch.app.alerting import Alerting
from dbtorch.core.alerts.compose import AlertChannel, AlertComposer
from dbtorch.core.alerts.incidents import Incident
from dbtorch.core.alerts.messages import AlertContext
from dbtorch.core.alerts.outbox import Delivery
from dbtorch.core.alerts.routing import AlertsSpec, Destination
from dbtorch.core.config import PipelineSpec
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.records import NodeRecord, RunRecord
from dbtorch.core.model.deadline import Late
from dbtorch.core.model.graph import Node
from dbtorch.core.model.state import State
from dbtorch.core.plan import Plan
from dbtorch.ports.loop import Clock
from dbtorch.ports.notifier import Notifier
from dbtorch.ports.store import Store
from dbtorch.service.project.known_secrets import alert_secrets, scrubber_of_environment
from dbtorch.service.project.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifiers:
    """The notifiers of a project."""

    on: Mapping[str, Notifier]
    places: Mapping[str, AlertChannel]
    off: Mapping[str, str]  # name -> why it cannot be used
    hide: Scrubber = field(default_factory=Scrubber)  # for what is said of them


def build_notifiers(spec: AlertsSpec, environ: Mapping[str, str] = os.environ) -> Notifiers:
    """The notifiers that can be used, and why others cannot; nothing is sent."""
    if not spec.notifiers:
        return Notifiers(on={}, places={}, off={})
    from dbtorch.adapters.config.environment import rendered
    from dbtorch.adapters.notify.base import NotifierError
    from dbtorch.adapters.notify.catalog import NOTIFIERS
    from dbtorch.core.errors import Refused

    on: dict[str, Notifier] = {}
    places: dict[str, AlertChannel] = {}
    off: dict[str, str] = {}
    hide = scrubber_of_environment(environ).knowing(alert_secrets(spec, environ))
    for name, written in spec.notifiers.items():
        try:
            settings = rendered(written, environ)
            found = NOTIFIERS.find(name)
            on[name] = found.open(settings)
            places[name] = AlertChannel(style=on[name].style, address=found.place(settings))
        except (NotifierError, Refused) as error:
            off[name] = hide(str(error))
            continue
        except Exception as error:  # somebody else's notifier: the run goes on without it
            off[name] = hide(f"{type(error).__name__}: {error}")
    return Notifiers(on=on, places=places, off=off, hide=hide)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The run that is told about."""

    record: RunRecord
    plan: Plan
    pipeline: PipelineSpec
    nodes: tuple[Node, ...]  # of the whole project
    edges: tuple[tuple[str, str], ...]
    states: tuple[NodeRecord, ...] = ()  # as this execution begins
    earlier: RunRecord | None = None  # as the execution before left it


def build_alerting(
    project: Project,
    store: Store,
    subject: Subject,
    files: RunFiles,
    clock: Clock,
    *,
    late: Sequence[Late] = (),
    log_at: Callable[[str, int], str] | None = None,
    note: Callable[[str], None],
) -> Alerting:
    """What tells people about a run; ``note`` is told what cannot be. Never raises.

    ``late`` is what an earlier execution found out about deadlines, ``log_at`` where the log of an
    attempt is for who is told: by default its path.
    """
    spec, record = project.config.alerts or AlertsSpec(), subject.record
    notifiers = build_notifiers(spec)
    for name, why in notifiers.off.items():
        note(f"alerts.{name} is off: {why}")
    scene = AlertContext(
        project=record.project,
        target=record.target,
        pipeline=record.pipeline,
        run_id=record.run_id,
        logical_date=record.logical_date,
        started_at=record.started_at,
        seconds_paused=record.seconds_paused,
        plan=subject.plan,
        partial=record.partial,
        spec=spec,
        nodes=subject.nodes,
        edges=subject.edges,
        pipeline_owner=subject.pipeline.owner,
        default_owner=project.config.defaults.owner or "",
        log_path=log_at
        or (lambda node, number: os.path.relpath(files.path(node, number), project.dir)),
        ui_url=project.config.ui.url,
        scrub=notifiers.hide,
        rows=lambda node: str(store.rows(record.run_id, node).get(node, "")),
    )
    earlier = subject.earlier

    def make() -> AlertComposer:
        telling = AlertComposer(
            scene,
            notifiers.places,
            lasting(store, record.target, record.pipeline),
            lambda place, key: store.message(place.notifier, place.address, key),
            written=store.outbox(run_id=record.run_id) if earlier is not None else (),
            states={node.id: node.state for node in subject.states},
        )
        telling.begin(clock.now(), earlier.nodes if earlier is not None else ())
        for one in late:
            telling.late(one)
        return telling

    return Alerting(
        make,
        store,
        notifiers.on,
        clock,
        run_id=record.run_id,
        random=random.random,
        hide=notifiers.hide,
        on_left=lambda left: note(left_in_outbox(left)),
    )


def left_in_outbox(left: Sequence[Delivery]) -> str:
    """What is said of messages that could not be delivered so far."""
    places: dict[str, str] = {}
    for one in sorted(left, key=lambda one: not one.error):
        place = str(Destination(one.entry.notifier, one.entry.address))
        places.setdefault(place, one.error or "on its way")
    count = "1 alert waits" if len(left) == 1 else f"{len(left)} alerts wait"
    told = "; ".join(f"{place}: {why}" for place, why in list(places.items())[:3])
    return f"{count} in the outbox ({told}); `dbtorch alerts flush` tries again at once"


def lasting(store: Store, target: str, pipeline: str) -> list[Incident]:
    """Failures that last, and whether a run has seen the node work that told nobody of it."""
    found = store.incidents(target, pipeline)
    if not found:
        return []
    facts = store.standing(target)
    warns = {id for id, last in facts.ends.items() if last.state is State.WARN}
    worked = {id: at for id, at in facts.successes.items() if id not in warns}
    return [replace(one, worked_since=_has_worked(store, one, worked)) for one in found]


def _has_worked(store: Store, incident: Incident, successes: Mapping[str, datetime]) -> bool:
    """Whether a run after the one that failed last has seen the node succeed."""
    at = successes.get(incident.node_id)
    if at is None:
        return False
    failed = store.run(incident.last_run, transitions=False)
    return failed is not None and failed.finished_at is not None and at > failed.finished_at
