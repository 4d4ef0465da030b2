"""The execution of a run, from its start or a retry to where it ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.actor import actor
from dbtorch.adapters.git import Checkout, checkout
from dbtorch.app.inbox import Interrupt, Requested
from dbtorch.app.requests import RequestWatcher
from dbtorch.app.resume import ResumePlan, unwatched
from dbtorch.app.runner import Runner
from dbtorch.core.errors import EngineError, RunCancelled, SelectionError
from dbtorch.core.failures.scrub import secrets_of
from dbtorch.core.history.records import Action, RunRecord, Verb
from dbtorch.core.model.deadline import Late
from dbtorch.core.model.events import Attempt, Batch, Finished
from dbtorch.core.model.state import RunState
from dbtorch.core.plan import SESSION_CLOSE, Plan
from dbtorch.core.run.breaker import Pause
from dbtorch.core.run.machine import Run
from dbtorch.core.text.moments import shown
from dbtorch.service.history.store import history_of
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.planning.planner import Planner
from dbtorch.service.project.artifacts import artifacts_of
from dbtorch.service.project.environment import flags_of, kept_flags
from dbtorch.service.project.options import pipeline_of
from dbtorch.service.resume.resumption import resumption
from dbtorch.service.run.alerting import alerting_of
from dbtorch.service.run.closing import Told, close_run
from dbtorch.service.run.control import NOTHING_BEGAN
from dbtorch.service.run.deadlines import (
    deadline_of,
    deadlines_of,
    late_sentence,
    timekeeper_of,
)
from dbtorch.service.run.launch import Launched
from dbtorch.service.run.lease import hold_lease
from dbtorch.service.run.listener import Executed
from dbtorch.service.run.private_context import recorded, restore_outputs
from dbtorch.service.run.record import describe_run, step_context
from dbtorch.service.wiring.queue import far_of
from dbtorch.service.wiring.steps import build_steps

if TYPE_CHECKING:
    from dbtorch.app.alerting import Alerting
    from dbtorch.core.run.timekeeper import Timekeeper
    from dbtorch.ports.engine import Engine
    from dbtorch.ports.steps import Steps
    from dbtorch.service.resume.request import RetryRequest
    from dbtorch.service.run.companion import Companion
    from dbtorch.service.run.uploading import RunUploads

#: What becomes of a run when somebody leaves before all was said of it.
_STANDS = "the run has ended and the history has it; nothing more is said of it"


class Execution:
    """One execution of a run: from its start, or from a retry, to where it ends."""

    def __init__(
        self,
        stack: ExitStack,
        launched: Launched,
        earlier: RunRecord | None = None,
        request: RetryRequest | None = None,
        companion: Companion | None = None,
    ) -> None:
        """Open the history and take the lease of the pipeline, which ``stack`` gives back.

        ``earlier`` is a run to go on with, and ``request`` what is asked of it. A ``companion``
        goes with a run that is launched for one. Raises `RunInProgress`, `StoreError`.
        """
        self._stack = stack
        self._launched = launched
        self._project = launched.project
        self._options = launched.options
        self._run_context = launched.run_context
        self._pipeline = pipeline_of(launched.project.config, launched.options)
        self._engine = launched.engine
        self._files = launched.files
        self._inbox = launched.inbox
        self._control = launched.control
        self._listener = launched.listener
        self._warn = partial(launched.listener.note, level="warning")
        self._clock = launched.clock
        self._earlier = earlier
        self._request = request
        self._companion = companion
        self._gone = frozenset[str]()  # steps whose outputs nobody has any more
        self._since: datetime | None = None  # when a run went on that is not told of from its start
        self._planned_at: datetime | None = None  # when people were told how it does
        self._before = 0.0  # seconds that its executions took until then
        self._artifacts = artifacts_of(launched.project, launched.options)
        self._uploads: RunUploads | None = None
        self._began = self._clock.now()
        now = self._run_context.now if earlier is None else self._began
        due = self._run_context.planned_at
        self._deadline = deadline_of(self._pipeline, launched.options, now, earlier, due=due)
        self._store = history_of(self._project, self._options, launched.args, create=True)
        stack.callback(self._store.close)
        self._store.adopt(self._store.identity.target)
        self._held = hold_lease(
            stack,
            self._store,
            self._run_context,
            self._inbox,
            self._control,
            goes_on=request is not None,
            note=self._warn,
            wait=self._options.wait,
            shared=self._options.shared,
            environ=self._options.environ,
        )
        self._lease = self._held.lease

    def go(self) -> Executed:
        """Everything, in order."""
        self._engine.dbt_warnings.listen(self._listener.warned)
        if self._request is not None:
            from dbtorch.service.resume.request import (
                latest_record,  # only what goes on asks for it
            )

            run_id, outputs = self._run_context.run_id, self._run_context.outputs
            self._earlier = latest_record(self._store, run_id, self._request, outputs)
            self._since, self._before = self._clock.now(), self._earlier.seconds_at_work
            self._gone = restore_outputs(self._files, self._earlier, outputs)
        self._watch()
        commit = _in_background(lambda: checkout(self._project.dir))
        planner = Planner(self._launched, self._store)
        opened = planner.first(self._request)
        if self._earlier is None:  # what the run stands for is known with its target
            target = str(opened.selected.target["name"])
            self._run_context = self._run_context.settled(self._store, target)
        while True:
            for warning in self._engine.warnings:
                self._warn(warning)
            if opened.held_back and self._request is None:
                self._listener.note(opened.held_back, level="info")
            if self._companion is not None:
                begins = self._companion.before(opened, self._engine)
                self._engine.release()  # steps come first that may open the warehouse's file
                if not begins:
                    return Executed(run_id="", state=RunState.SUCCESS, record=None)
            if opened.empty and self._earlier is not None:
                raise SelectionError(_nothing_left(self._earlier))
            if opened.empty:
                self._let_dbt_finish()
                return self._nothing_selected()
            run, ended = self._drive(opened, commit())
            if ended is not None:
                if self._companion is not None:
                    self._control.over(_STANDS)
                    self._companion.after(ended, self._engine)
                return Executed(run_id=ended.run_id, state=run.state, record=ended)
            self._listener.note(
                "dbt reads another project than last time: planned again", level="info"
            )
            self._earlier = self._store.run(self._run_context.run_id)
            self._request = None  # what was asked for is under way
            opened = planner.anew()

    def _nothing_selected(self) -> Executed:
        if self._options.fail_on_empty:
            raise SelectionError(
                "the selection matches no nodes, so nothing was run, and that is to be an error;"
                " `dbtorch plan` with the same options shows what they select"
            )
        self._warn("the selection matches no nodes; nothing was run")
        return Executed(run_id=self._run_context.run_id, state=RunState.SUCCESS, record=None)

    def _drive(self, opened: OpenedPlan, commit: Checkout) -> tuple[Run, RunRecord | None]:
        """Execute the plan; answers the record of a run that has ended."""
        engine, store, lease, planned = self._engine, self._store, self._lease, opened.planned
        # deadlines count from when the run was to start, or first started
        begins = self._run_context.planned_at or self._run_context.now
        deadlines = deadlines_of(
            self._deadline, planned.plan, self._pipeline, begins, self._earlier
        )
        hide = self._launched.hide.knowing(secrets_of(opened.selected.vars))
        described = describe_run(
            self._launched, self._run_context, opened, commit, hide, self._earlier
        )
        record = replace(
            described,
            resumed_at=self._since,
            seconds_before=self._before,
            options={
                **recorded(self._options.to_record(), self._files, hide),
                "flags": flags_of(self._project.dir)
                if self._earlier is None
                else kept_flags(self._earlier),
                **self._run_context.record(),
                **(deadlines.record() if deadlines is not None else {}),
                **unwatched(self._earlier, planned.plan),
            },
        )
        far = far_of(self._project, self._options, planned.plan.graph.nodes, self._held)
        resumed = resumption(
            self._launched, opened, self._earlier, self._request, without=self._gone
        )
        if self._request is not None:
            self._planned_at = self._clock.now()
        self._control.begin(self._inbox)
        action = self._act(resumed)
        store.begin(
            record,
            resumed.nodes,
            resumed.changes,
            anew=resumed.anew,
            lease=lease,
            tick=self._options.tick,
        )
        if action is not None:
            store.handled(record.run_id, action, self._clock.now())
        steps = build_steps(
            self._project,
            step_context(self._run_context, self._project, opened.selected),
            self._files,
            self._run_context,
            self._inbox.put,
            environ=self._options.environ,
            grace=self._launched.grace,
            hide=hide,
            store=store,
            far=far,
        )
        run = Run(planned.plan, random=_random, prior=resumed.prior)
        timekeeper = None
        if deadlines is not None:
            timekeeper = timekeeper_of(deadlines, run, opened.durations)
        if self._earlier is not None:
            engine.adopt(resumed.results, store.microbatches(record.run_id), resumed.unsettled)
        engine.watch(planned.plan.checks)
        self._control.kills(partial(_kill, engine, steps))
        if self._artifacts is not None and self._uploads is None:
            from dbtorch.service.run.uploading import begin_uploads  # few runs have any

            self._uploads = begin_uploads(
                self._stack, self._artifacts, self._launched, self._began, hide
            )
        uploads = self._uploads
        alerts = alerting_of(
            self._stack,
            self._launched,
            store,
            record,
            opened,
            resumed,
            pipeline=self._pipeline,
            earlier=self._earlier,
            log_at=None if uploads is None else uploads.log_url,
        )
        before = replace(record, nodes=resumed.before)
        self._listener.start(planned.plan, before, self._launched.dbt)
        try:
            Runner(
                run,
                planned,
                engine=engine,
                steps=steps,
                inbox=self._inbox,
                clock=self._clock,
                recorder=partial(store.record, record.run_id, lease=lease),
                on_progress=partial(store.note, record.run_id, lease=lease),
                listeners=[self._listener.changed, *alerts, *filter(None, [uploads])],
                on_pause=lambda pause: self._warn(_told_of(pause)),
                timekeeper=timekeeper,
                on_late=partial(self._late, alerts, timekeeper, planned.plan),
                on_answered=lambda action: store.handled(
                    record.run_id, action.ordinal, self._clock.now()
                ),
            ).drive()
        finally:
            steps.close()
        if run.finished:
            warned = engine.dbt_warnings.all()
            store.end(record.run_id, run.state, self._clock.now(), lease=lease, dbt_warnings=warned)
        for alerting in alerts:
            alerting.ended(run.state if run.finished else None)
        if not run.finished:
            return run, None
        finished = store.run(record.run_id, transitions=False)
        assert finished is not None
        close_run(
            self._launched,
            store,
            finished,
            self._pipeline,
            Told(command=record.command, since=self._since, planned_at=self._planned_at),
            uploads=uploads,
            target_path=opened.selected.target_path,
            began=self._began,
            hide=hide,
        )
        return run, finished

    def _act(self, resumed: ResumePlan) -> int | None:
        """Write who goes on with the run; answers the ordinal of the action."""
        if self._request is None:
            return None
        action = Action(
            action=self._request.verb,
            at=self._clock.now(),
            actor=actor(),
            reason=self._request.recorded(resumed),
        )
        return self._store.act(self._run_context.run_id, action)

    def _let_dbt_finish(self) -> None:
        """Let dbt write the artifacts of a run without nodes. Raises `EngineError`."""
        self._control.begin(self._inbox)
        closing = Attempt(SESSION_CLOSE, 1)
        self._engine.start(Batch(1, (closing,)))
        while True:
            for event in self._inbox.take(None):
                if isinstance(event, Interrupt):
                    raise RunCancelled(f"{event.reason}; {NOTHING_BEGAN}")
                if not isinstance(event, Finished) or event.attempt != closing:
                    continue
                if event.outcome.state.ok:
                    return
                raise EngineError(event.outcome.message)

    def _watch(self) -> None:
        """Hear what people ask of this run from now on."""
        known = self._earlier.actions if self._earlier is not None else ()
        watch = RequestWatcher(
            self._store.apart(),
            self._run_context.run_id,
            lambda action: self._inbox.put(Requested(action)),
            after=max((action.ordinal for action in known), default=0),
        )
        self._stack.enter_context(watch)

    def _late(
        self,
        alerts: Sequence[Alerting],
        timekeeper: Timekeeper | None,
        plan: Plan,
        late: Late,
    ) -> None:
        """Write and say what is late or will be, once in all executions."""
        cancels = timekeeper is not None and timekeeper.cancels(late)
        what = late_sentence(late, plan, cancels=cancels)
        action = Action(
            action=Verb.DEADLINE if late.missed else Verb.AT_RISK,
            at=late.at,
            actor="dbtorch",
            node_id=late.node_id,
            reason=what,
            handled_at=late.at,
        )
        self._store.act(self._run_context.run_id, action)
        self._warn(what)
        for alerting in alerts:
            alerting.late(late)


def _random() -> float:
    """For the delay before a retry; most runs need none."""
    import random

    return random.random()


def _told_of(pause: Pause | None) -> str:
    if pause is None:
        return "the warehouse answers again; the run goes on"
    at = shown(pause.until)
    return f"{pause.reason}; nothing starts until one of them has been tried at {at}"


def _nothing_left(earlier: RunRecord) -> str:
    return (
        f"nothing of run {earlier.run_id} is part of the project, or selected, any more; it stays"
        f" {earlier.state} (start another run with `dbtorch run`)"
    )


def _kill(engine: Engine, steps: Steps) -> None:
    """End every process at once; the store already says what had begun."""
    steps.kill()
    engine.kill()


def _in_background(work: Any) -> Any:
    """Start ``work`` in a thread; the answer waits for its result."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(work()), daemon=True)
    thread.start()

    def answer() -> Any:
        thread.join()
        return result[0]

    return answer
