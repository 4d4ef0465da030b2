"""A run that cannot begin, as dbt cannot parse or a profile is gone: in the history, and told."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.git import checkout
from dbtorch.adapters.processes.liveness import this_host
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.adapters.store import open_store
from dbtorch.core.errors import DbtorchError, EngineError, LeaseHeld, UsageError
from dbtorch.core.failures.classify import classify
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.reason import Reason
from dbtorch.core.model.state import RunState, State
from dbtorch.core.plan import SESSION_OPEN, Plan
from dbtorch.ports.store import Store
from dbtorch.service.history.store import history_of
from dbtorch.service.project.environment import flags_of
from dbtorch.service.project.known_secrets import scrubber_of
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project, configured_store
from dbtorch.service.run.context import NOT_BEGUN, RunContext
from dbtorch.service.run.lease import lease_of
from dbtorch.service.run.private_context import recorded
from dbtorch.version import VERSION

log = logging.getLogger("dbtorch")

#: Runs among which the last one of a pipeline is looked for.
_LOOKED_AT = 50


def record_not_begun(
    project: Project, options: RunOptions, run_context: RunContext, error: DbtorchError
) -> None:
    """Write that a run failed before it had begun, and tell its owner. Never raises.

    A retry executes all of it. Nothing is written while another run of the pipeline goes on.
    """
    try:
        with closing(_history(project, options)) as store:
            places = store.identity.places
            if places and store.identity.target not in places:
                return  # a slip of whoever named the target
            _NotBegun(project, options, run_context, store).record(error)
    except (DbtorchError, LeaseHeld) as problem:
        log.info("run %s is not in the history: %s", run_context.run_id, problem)


class _NotBegun:
    def __init__(
        self, project: Project, options: RunOptions, run_context: RunContext, store: Store
    ) -> None:
        self._project = project
        self._options = options
        self._store = store
        self._clock = SystemClock()
        self._args = _args(project, options)
        self._pipeline = pipeline_of(project.config, options)
        self._files = RunFiles(state_dir(project.dir, options.environ), run_context.run_id)
        self._hide = scrubber_of(
            project,
            self._args,
            urls=(options.database_url, options.artifacts_url),
            cwd=options.cwd,
            environ=options.environ,
        )
        self._target = store.identity.target
        self._context = self._settled(run_context)
        owner = self._pipeline.owner or project.config.defaults.owner or ""
        self._opening = Node(id=SESSION_OPEN, kind=Kind.SESSION, name="open", owner=owner)

    def record(self, error: DbtorchError) -> None:
        """Write the run and its end. Raises `StoreError`, `LeaseHeld`."""
        record, now = self._record(), self._clock.now()
        changes = self._changes(error, now)
        store = self._store
        lease = lease_of(store, record, self._options.environ)
        lease, _ = store.acquire(lease)
        try:
            store.begin(record, [self._opening], lease=lease, tick=self._options.tick)
            store.record(record.run_id, changes, lease=lease)
            store.end(record.run_id, RunState.FAILED, now, lease=lease)
        finally:
            store.release(lease)
        self._tell(record, changes)

    def _settled(self, run_context: RunContext) -> RunContext:
        try:
            return run_context.settled(self._store, self._target)
        except UsageError:  # of the interval, which is not what keeps it from beginning
            return run_context

    def _record(self) -> RunRecord:
        about, commit = self._context, checkout(self._project.dir)
        options = recorded(self._options.to_record(), self._files, self._hide)
        return RunRecord(
            run_id=about.run_id,
            pipeline=about.pipeline,
            project=self._project.name,
            target=self._target,
            logical_date=about.interval.logical_date,
            data_interval_start=about.interval.start,
            data_interval_end=about.interval.end,
            state=RunState.RUNNING,
            started_at=about.now,
            command=self._hide.json(list(self._options.command)),
            partial=self._options.partial,
            partition=about.partition,
            dbt_args=tuple(self._hide.json(list(self._args))),
            dbtorch_version=VERSION,
            git_commit=commit.commit,
            git_dirty=commit.dirty,
            host=this_host(),
            pid=os.getpid(),
            options={
                **options,
                "flags": flags_of(self._project.dir),
                **about.record(),
                NOT_BEGUN: True,
            },
        )

    def _changes(self, error: DbtorchError, now: datetime) -> list[Changed]:
        text = self._hide(str(error))
        found = classify((), text, self._project.config.failure_classes)
        failed = Outcome(
            state=State.FAILED,
            message=text,
            failure_class=error.failure_class if isinstance(error, EngineError) else found,
            details={"status": "error"},
        )
        steps = (State.PENDING, State.QUEUED, State.RUNNING)
        begins = [
            Changed(node_id=SESSION_OPEN, attempt=1, before=before, state=state, at=at)
            for before, state, at in zip(steps, steps[1:], (now, now), strict=False)
        ]
        return [
            *begins,
            Changed(
                node_id=SESSION_OPEN,
                attempt=1,
                before=State.RUNNING,
                state=State.FAILED,
                at=now,
                reason=Reason.said(text),
                outcome=failed,
            ),
        ]

    def _tell(self, record: RunRecord, changes: list[Changed]) -> None:
        spec = self._project.config.alerts
        if spec is None or not spec.notifiers or spec.silence(record.target):
            return
        if record.partial or not self._options.alerts:
            return  # who has chosen a part reads what is wrong with it
        from dbtorch.service.alerts.notifiers import Subject, build_alerting

        subject = Subject(
            record=record,
            plan=Plan(graph=Graph([self._opening], []), policies={}),
            pipeline=self._pipeline,
            nodes=(),
            edges=(),
        )
        store = self._store.apart()
        with ExitStack() as stack:
            alerting = stack.enter_context(
                build_alerting(
                    self._project, store, subject, self._files, self._clock, note=log.warning
                )
            )
            alerting(changes)
            alerting.ended(RunState.FAILED)


def _history(project: Project, options: RunOptions) -> Store:
    """The history; where no profile says what the target is, it is what it was at the last run."""
    args = _args(project, options)
    store = history_of(project, options, args, create=True)
    identity = store.identity
    if identity.places:
        return store
    pipeline = pipeline_of(project.config, options).name
    said = identity.target if "--target" in args else ""
    runs = (one for one in store.runs(limit=_LOOKED_AT) if one.pipeline == pipeline)
    found = (store.run(one.run_id) for one in runs if said in ("", one.target))
    last = next((run for run in found if run is not None and run.place != run.target), None)
    if last is None:
        return store
    store.close()
    known = replace(identity, target=last.target, places={last.target: last.place})
    url = options.database_url or configured_store(None, project.dir, options.environ)
    return open_store(url, project.dir, create=True, identity=known)


def _args(project: Project, options: RunOptions) -> tuple[str, ...]:
    return options.dbt_args_for(project.config)
