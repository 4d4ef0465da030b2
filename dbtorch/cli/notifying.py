"""The place that builds notifiers, and what tells people about a run."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dbtorch.adapters.run_files import RunFiles
from dbtorch.app.alerting import Alerting
from dbtorch.cli.project import Project
from dbtorch.core.alert_making import Scene
from dbtorch.core.config import PipelineSpec
from dbtorch.core.deadline import Late
from dbtorch.core.graph import Node
from dbtorch.core.history import NodeRecord, RunRecord
from dbtorch.core.outbox import Delivery
from dbtorch.core.plan import Plan
from dbtorch.core.routing import AlertsSpec, Destination
from dbtorch.core.scrub import SECRET_PREFIX, scrubber
from dbtorch.core.telling import Place, Telling
from dbtorch.ports import Clock, Notifier, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifiers:
    """The notifiers of a project."""

    on: Mapping[str, Notifier]
    places: Mapping[str, Place]
    off: Mapping[str, str]  # name -> why it cannot be used
    secrets: tuple[str, ...] = ()  # values that no message may show


def build_notifiers(spec: AlertsSpec, environ: Mapping[str, str] = os.environ) -> Notifiers:
    """The notifiers that can be used, and why others cannot; nothing is sent."""
    if not spec.notifiers:
        return Notifiers(on={}, places={}, off={})
    from dbtorch.adapters.config.alert_keys import rendered
    from dbtorch.adapters.config.problems import Refused
    from dbtorch.adapters.notify.base import NotifierError
    from dbtorch.adapters.notify.catalog import find

    on: dict[str, Notifier] = {}
    places: dict[str, Place] = {}
    off: dict[str, str] = {}
    secrets = [value for name, value in environ.items() if name.startswith(SECRET_PREFIX)]
    for name, written in spec.notifiers.items():
        try:
            settings = rendered(written, environ)
            found = find(name)
            on[name] = found.open(settings)
            places[name] = Place(style=on[name].style, address=found.place(settings))
        except (NotifierError, Refused) as error:
            off[name] = str(error)
            continue
        except Exception as error:  # somebody else's notifier: the run goes on without it
            off[name] = f"{type(error).__name__}: {error}"
            continue
        keys = ("token", "webhook_url", "secret", "password")
        secrets += [str(settings[key]) for key in keys if isinstance(settings.get(key), str)]
    return Notifiers(on=on, places=places, off=off, secrets=tuple(secrets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The run that is told about."""

    record: RunRecord
    plan: Plan
    pipeline: PipelineSpec
    nodes: tuple[Node, ...]  # of the whole project
    edges: tuple[tuple[str, str], ...]
    states: tuple[NodeRecord, ...] = ()  # as this stretch begins
    earlier: RunRecord | None = None  # as the stretch before left it


def build_alerting(
    project: Project,
    store: Store,
    subject: Subject,
    files: RunFiles,
    clock: Clock,
    *,
    late: Sequence[Late] = (),
    note: Callable[[str], None],
) -> Alerting:
    """What tells people about a run; ``note`` is told what cannot be. Never raises.

    ``late`` is what an earlier stretch found out about deadlines.
    """
    spec, record = project.config.alerts or AlertsSpec(), subject.record
    notifiers = build_notifiers(spec)
    for name, why in notifiers.off.items():
        note(f"alerts.{name} is off: {why}")
    scene = Scene(
        project=record.project,
        target=record.target,
        pipeline=record.pipeline,
        run_id=record.run_id,
        logical_date=record.logical_date,
        started_at=record.started_at,
        plan=subject.plan,
        spec=spec,
        nodes=subject.nodes,
        edges=subject.edges,
        pipeline_owner=subject.pipeline.owner,
        default_owner=project.config.defaults.owner or "",
        log_path=lambda node, number: os.path.relpath(files.path(node, number), project.dir),
        scrub=scrubber(notifiers.secrets),
        rows=lambda node: str(store.rows(record.run_id, node).get(node, "")),
    )
    earlier = subject.earlier

    def make() -> Telling:
        telling = Telling(
            scene,
            notifiers.places,
            store.incidents(record.project, record.target, record.pipeline),
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
