"""The one place that builds engines, step runners and stores."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dbtorch.adapters.dbt.session import SessionEngine, SessionRequest, SqlStep
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.steps.guard import RUN
from dbtorch.adapters.steps.runner import StepRunner
from dbtorch.adapters.template import render, run_values
from dbtorch.app.alerting import Alerting
from dbtorch.cli.engines import choose_engine
from dbtorch.cli.project import Project
from dbtorch.core.alert_making import Scene
from dbtorch.core.config import GRACE, EngineType, PipelineSpec, StepSpec
from dbtorch.core.deadline import Late
from dbtorch.core.graph import Node
from dbtorch.core.history import NodeRecord, RunRecord
from dbtorch.core.outbox import Delivery
from dbtorch.core.plan import Plan
from dbtorch.core.routing import AlertsSpec, Destination
from dbtorch.core.scrub import SECRET_PREFIX, scrubber
from dbtorch.core.telling import Place, Telling
from dbtorch.ports import Clock, Emit, Notifier, StepContext, Store

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.engine import ProcessEngine


#: Both engines, with what only those have that end with this process.
AnyEngine: TypeAlias = "SessionEngine | ProcessEngine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What a run is about in time: its id, its pipeline and the interval it stands for."""

    run_id: str
    pipeline: str
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime
    planned_at: datetime | None = None  # when a schedule wanted it to start; None by hand
    outputs: dict[str, Any] = field(default_factory=dict)  # of steps, by name

    def template(self) -> dict[str, Any]:
        """``run`` in templates."""
        return run_values(
            id=self.run_id,
            pipeline=self.pipeline,
            logical_date=self.logical_date,
            data_interval_start=self.data_interval_start,
            data_interval_end=self.data_interval_end,
        )


def build_engine(
    project: Project,
    dbt_args: tuple[str, ...],
    files: RunFiles,
    occasion: Occasion,
    emit: Emit,
    *,
    cwd: Path,
    grace: float = GRACE,
    environ: Mapping[str, str] = os.environ,
) -> AnyEngine:
    """The engine of a project; relative paths in ``dbt_args`` count from ``cwd``."""
    chosen = choose_engine(project)
    if chosen.type is EngineType.SESSION:
        return build_session(
            project, dbt_args, files, occasion, emit, cwd=cwd, grace=grace, environ=environ
        )
    from dbtorch.adapters.dbt.process.engine import ProcessEngine, ProcessRequest

    _refuse_sql(project)
    request = ProcessRequest(
        command=(chosen.executable,),
        args=_words(project, dbt_args, cwd, environ),
        project_dir=project.dir,
        cwd=cwd,
        environ={**environ, RUN: occasion.run_id},
        log_path=lambda attempt: files.log(attempt.node_id, attempt.number),
        console=files.dbt_log,
        scratch=files.root,
        failure_classes=project.config.failure_classes,
        grace=grace,
    )
    return ProcessEngine(request, emit)


def _refuse_sql(project: Project) -> None:
    from dbtorch.cli.errors import UsageError

    for spec in project.config.steps.values():
        if spec.type == "sql":
            raise UsageError(
                f"{spec.origin}: step {spec.name} is SQL, which needs dbt-core 1.x and the session"
                " engine; make it a command or a model"
            )


def _words(
    project: Project, dbt_args: tuple[str, ...], cwd: Path, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Options of `dbt build` with where the project and its profiles are."""
    args = ["--project-dir", str(project.dir), *dbt_args]
    if "--profiles-dir" not in dbt_args:
        folder = project.profiles_dir(environ, cwd)
        args += [] if folder is None else ["--profiles-dir", str(folder)]
    return tuple(args)


def build_session(
    project: Project,
    dbt_args: tuple[str, ...],
    files: RunFiles,
    occasion: Occasion,
    emit: Emit,
    *,
    cwd: Path,
    grace: float = GRACE,
    environ: Mapping[str, str] = os.environ,
) -> SessionEngine:
    """The session engine of a project; relative paths in ``dbt_args`` count from ``cwd``."""
    args = list(_words(project, dbt_args, cwd, environ))
    if "--log-level-file" not in dbt_args and "DBT_LOG_LEVEL_FILE" not in environ:
        args += ["--log-level-file", "none"]  # every attempt has a log of its own instead
    if not {"--debug", "--log-level"} & set(dbt_args):
        args += ["--log-level", "warn"]  # and what its console would say of a node is there too
    request = SessionRequest(
        python=project.python,
        args=(*args, "--no-use-colors"),
        cwd=cwd,
        environ={**environ, RUN: occasion.run_id},
        log_path=lambda attempt: files.log(attempt.node_id, attempt.number),
        console=files.dbt_log,
        scratch=files.root,
        sql={
            spec.id: SqlStep(
                text=_sql_text(spec, project.dir), skip=partial(_skip, spec, occasion, environ)
            )
            for spec in project.config.steps.values()
            if spec.type == "sql"
        },
        run=occasion.template(),
        failure_classes=project.config.failure_classes,
        grace=grace,
    )
    return SessionEngine(request, emit)


def build_steps(
    project: Project,
    context: StepContext,
    files: RunFiles,
    occasion: Occasion,
    emit: Emit,
    *,
    grace: float = GRACE,
) -> StepRunner:
    """The runner of all steps that are no SQL."""
    work_dir = files.root / "steps"
    shutil.rmtree(work_dir, ignore_errors=True)  # an earlier supervisor and its guard were killed
    runner = StepRunner(
        emit,
        project.config.steps,
        context,
        log_path=lambda attempt: files.log(attempt.node_id, attempt.number),
        work_dir=work_dir,
        python=project.python,
        failure_classes=project.config.failure_classes,
        grace=grace,
    )
    runner.outputs = occasion.outputs  # one mapping, so that sql steps see the others' outputs
    return runner


def prepare(project_dir: Path, files: RunFiles) -> None:
    """Make the folders that every file of a run goes to. Raises `StoreError`, `UsageError`."""
    from dbtorch.adapters.store import state_dir
    from dbtorch.cli.errors import UsageError

    state_dir(project_dir)
    try:
        files.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder {files.root} for logs cannot be made ({error.strerror}); "
            "give this user the right to"
        ) from error


def build_store(project_dir: Path, database_url: str | None, *, create: bool) -> Store:
    """The run history of a project. Raises `StoreError`."""
    from dbtorch.adapters.store import open_store, state_dir

    if create:
        state_dir(project_dir)  # also with Postgres: logs are files
    return open_store(database_url, project_dir, create=create)


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


def _sql_text(spec: StepSpec, project_dir: Path) -> str:
    """The SQL of a step: written in place, or in a file of the project."""
    from dbtorch.cli.errors import UsageError

    text = spec.action
    if not isinstance(text, str):
        raise UsageError(f"{spec.origin}: sql of step {spec.name} must be text")
    if not text.strip().endswith(".sql") or len(text.split()) > 1:
        return text
    try:
        return (project_dir / text.strip()).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{spec.origin}: step {spec.name} cannot read {text.strip()}: {error.strerror}"
        ) from error


def _skip(
    spec: StepSpec, occasion: Occasion, environ: Mapping[str, str], known: Mapping[str, Any]
) -> str:
    """Why a sql step is left out: its ``when`` comes to nothing."""
    if spec.when is None:
        return ""
    value = render(
        spec.when,
        env=environ,
        vars=known["vars"],
        run=occasion.template(),
        outputs=occasion.outputs,
        extra={"target": known["target"]},
    )
    nothing = str(value).strip().lower() in ("", "false", "none", "0")
    return f"when: {spec.when} comes to nothing" if nothing else ""
