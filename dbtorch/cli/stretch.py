"""One stretch of a run, from its start or a retry to an exit code."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.actor import actor
from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.git import Checkout, checkout
from dbtorch.app.inbox import Interrupt, Requested
from dbtorch.app.recorder import Recorder
from dbtorch.app.resume import Resumption, Wish, resume, start
from dbtorch.app.runner import Runner
from dbtorch.app.watch import ActionWatch
from dbtorch.cli.answering import Answering
from dbtorch.cli.describing import describe_run, step_context
from dbtorch.cli.engines import AnyEngine
from dbtorch.cli.errors import GATED, NODE_FAILED, OK, USAGE
from dbtorch.cli.launching import Begun
from dbtorch.cli.leasing import hold_lease
from dbtorch.cli.opening import Opening
from dbtorch.cli.preparing import preparing_the_end
from dbtorch.cli.project import Project, configured_store
from dbtorch.cli.render import View, make_view
from dbtorch.cli.run_options import Options, pipeline_of
from dbtorch.cli.timing import deadline_of, deadlines_of, found_earlier, told
from dbtorch.cli.wiring import build_steps, build_store
from dbtorch.core.breaker import Pause
from dbtorch.core.deadline import Deadlines, Late
from dbtorch.core.events import Attempt, Batch, Finished
from dbtorch.core.history import Action, Lease, RunRecord, Verb
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN, Plan
from dbtorch.core.run import Run
from dbtorch.core.state import RunState, State
from dbtorch.core.timekeeper import Timekeeper
from dbtorch.ports import EngineError, Steps, Store

if TYPE_CHECKING:
    from dbtorch.app.alerting import Alerting
    from dbtorch.cli.asked import Asked


def opened_history(project: Project, options: Options, *, create: bool) -> Store:
    """The run history that options, environment or dbtorch.yml name. Raises `StoreError`."""
    url = options.database_url or configured_store(None, project.dir)
    return build_store(project.dir, url, create=create)


class Stretch:
    """One stretch of a run: from its start, or from a retry, to where it ends."""

    def __init__(
        self,
        stack: ExitStack,
        begun: Begun,
        started_at: datetime,
        earlier: RunRecord | None = None,
        asked: Asked | None = None,
    ) -> None:
        """``earlier`` is a run to go on with, and ``asked`` what is asked of it."""
        self._stack = stack
        self._begun = begun
        self._project = begun.project
        self._options = begun.options
        self._occasion = begun.occasion
        self._files = begun.files
        self._inbox = begun.inbox
        self._signals = begun.signals
        self._engine = begun.engine
        self._grace = begun.grace
        self._started_at = started_at
        self._earlier = earlier
        self._asked = asked
        self._clock = SystemClock()
        self._since: datetime | None = None  # when a run went on that is not told of from its start
        self._deadline = deadline_of(
            pipeline_of(begun.project.config, begun.options),
            begun.options,
            self._clock.now() if earlier is not None else begun.occasion.planned_at or started_at,
            earlier,
        )

    def go(self) -> int:
        """Everything, in order."""
        engine = self._engine
        store = opened_history(self._project, self._options, create=True)
        self._stack.callback(store.close)
        view = make_view(self._options.log_format, self._clock)
        self._stack.callback(view.close)
        lease = hold_lease(
            self._stack,
            store,
            self._clock,
            name=f"{self._project.name}/{self._occasion.pipeline}",
            run_id=self._occasion.run_id,
            goes_on=self._asked is not None,
            on_lost=lambda why: self._inbox.put(Interrupt(why)),
            note=partial(view.note, level="warning"),
        )
        if self._asked is not None:
            from dbtorch.cli.asked import latest_record  # only what goes on asks for it

            run_id, outputs = self._occasion.run_id, self._occasion.outputs
            self._earlier = latest_record(store, run_id, self._asked, outputs)
        self._watch(store)
        commit = _in_background(lambda: checkout(self._project.dir))
        answering = Answering(self._begun, store)
        opening = answering.first(self._asked)
        while True:
            for warning in engine.warnings:
                view.note(warning, level="warning")
            if opening.empty:
                self._let_dbt_finish(engine)
                return _nothing_selected(view, self._options)
            run = self._drive(store, lease, view, engine, opening, commit())
            if run.finished:
                return _exit_code(run, self._signals.received)
            view.note("dbt reads another project than last time: planned anew", level="info")
            self._earlier = store.run(self._occasion.run_id)
            self._asked = None  # what was asked for is under way
            opening = answering.anew()

    def _drive(
        self,
        store: Store,
        lease: Lease,
        view: View,
        engine: AnyEngine,
        opening: Opening,
        commit: Checkout,
    ) -> Run:
        planned = opening.planned
        deadlines = self._deadlines(opening)
        record = replace(
            describe_run(self._occasion, self._options, self._project, opening, commit),
            started_at=self._started_at,
            options={
                **self._options.to_record(),
                **deadlines.record(),
            },
        )
        resumed = self._resumption(opening, view)
        action = self._act(store, resumed)
        store.begin(record, resumed.nodes, resumed.changes, lease=lease)
        if action is not None:
            store.handled(record.run_id, action, self._clock.now())
        steps = build_steps(
            self._project,
            step_context(self._occasion, self._project, opening.selected),
            self._files,
            self._occasion,
            self._inbox.put,
            grace=self._grace,
        )
        run = Run(planned.plan, random=_random, prior=resumed.prior)
        timekeeper = _timekeeper(deadlines, opening, run)
        engine.adopt(resumed.results)
        engine.watch(planned.plan.checks)
        self._signals.route(self._inbox, leave=partial(_leave, engine, steps), grace=self._grace)
        if self._asked is not None:
            self._since = self._clock.now()
        alerts = self._alerts(store, view, record, opening, resumed)
        view.start(planned.plan, replace(record, nodes=resumed.before), self._files.path)
        try:
            Runner(
                run,
                planned,
                engine=engine,
                steps=steps,
                inbox=self._inbox,
                clock=self._clock,
                recorder=Recorder(store, record.run_id, lease),
                listeners=[view.changed, *alerts, preparing_the_end()],
                on_pause=lambda pause: view.note(_told_of(pause), level="warning"),
                timekeeper=timekeeper,
                on_late=partial(self._late, store, view, alerts, timekeeper, planned.plan),
                on_answered=lambda action: store.handled(
                    record.run_id, action.ordinal, self._clock.now()
                ),
            ).drive()
        finally:
            steps.close()
        if run.finished:
            store.end(record.run_id, run.state, self._clock.now(), lease=lease)
        for alerting in alerts:
            alerting.ended(run.state if run.finished else None)
        if run.finished:
            finished = store.run(record.run_id, transitions=False)
            assert finished is not None
            from dbtorch.core.summary import summarize

            view.finish(summarize(finished, log_path=self._files.path, since=self._since))
        return run

    def _alerts(
        self, store: Store, view: View, record: RunRecord, opening: Opening, resumed: Resumption
    ) -> tuple[Alerting, ...]:
        """What tells people about this stretch, if anything does.

        At the very end it is waited for, but not long.
        """
        spec = self._project.config.alerts
        if spec is None or not spec.notifiers:
            return ()
        from dbtorch.cli.notifying import Subject, build_alerting

        subject = Subject(
            record=record,
            plan=opening.planned.plan,
            pipeline=pipeline_of(self._project.config, self._options),
            nodes=opening.selected.nodes,
            edges=opening.selected.edges,
            states=resumed.before,
            earlier=self._earlier,
        )
        alerting = build_alerting(
            self._project,
            store,
            subject,
            self._files,
            self._clock,
            late=found_earlier(self._earlier) if self._earlier is not None else (),
            note=partial(view.note, level="warning"),
        )
        return (self._stack.enter_context(alerting),)

    def _resumption(self, opening: Opening, view: View) -> Resumption:
        """What this stretch goes on with. Raises `UsageError`."""
        plan, now = opening.planned.plan, self._clock.now()
        if self._earlier is None:
            return start(plan)
        if self._asked is None:
            return resume(self._earlier, plan, Wish(), now)
        from dbtorch.cli.asked import notes

        resumed = self._asked.go_on(self._earlier, opening, self._project.config, now)
        for note in notes(resumed, self._earlier):
            view.note(note, level="info")
        return resumed

    def _act(self, store: Store, resumed: Resumption) -> int | None:
        """Write who goes on with the run; answers the ordinal of the action."""
        if self._asked is None:
            return None
        action = Action(
            action=self._asked.verb,
            at=self._clock.now(),
            actor=actor(),
            reason=self._asked.told(resumed),
        )
        return store.act(self._occasion.run_id, action)

    def _let_dbt_finish(self, engine: AnyEngine) -> None:
        """Let dbt write the artifacts of a run without nodes. Raises `EngineError`."""
        closing = Attempt(SESSION_CLOSE, 1)
        engine.start(Batch(1, (closing,)))
        while True:
            for event in self._inbox.take(None):
                if not isinstance(event, Finished) or event.attempt != closing:
                    continue
                if event.outcome.state.ok:
                    return
                raise EngineError(event.outcome.message)

    def _watch(self, store: Store) -> None:
        """Hear what people ask of this run from now on."""
        known = self._earlier.actions if self._earlier is not None else ()
        watch = ActionWatch(
            store,
            self._occasion.run_id,
            lambda action: self._inbox.put(Requested(action)),
            after=max((action.ordinal for action in known), default=0),
        )
        self._stack.enter_context(watch)

    def _deadlines(self, opening: Opening) -> Deadlines:
        """Deadlines of the run and of its nodes."""
        if self._deadline is not None and self._earlier is not None:
            found = found_earlier(self._earlier)
            same = [late for late in found if late.missed and late.deadline == self._deadline.at]
            told = any(not late.node_id for late in same)
            self._deadline = replace(self._deadline, told=told or self._deadline.told)
        return deadlines_of(
            self._deadline,
            opening.planned.plan,
            pipeline_of(self._project.config, self._options),
            self._occasion.planned_at or self._started_at,
            self._earlier,
        )

    def _late(
        self,
        store: Store,
        view: View,
        alerts: Sequence[Alerting],
        timekeeper: Timekeeper,
        plan: Plan,
        late: Late,
    ) -> None:
        """Write and say what is late or will be, once in all stretches."""
        what = told(late, plan, cancels=timekeeper.cancels(late))
        action = Action(
            action=Verb.DEADLINE if late.missed else Verb.AT_RISK,
            at=late.at,
            actor="dbtorch",
            node_id=late.node_id,
            reason=what,
            handled_at=late.at,
        )
        store.act(self._occasion.run_id, action)
        view.note(what, level="warning")
        for alerting in alerts:
            alerting.late(late)


def _timekeeper(deadlines: Deadlines, opening: Opening, run: Run) -> Timekeeper:
    """What watches the deadlines; the forecast is made only where there are any."""
    if deadlines.run is None and not deadlines.nodes:
        return Timekeeper(deadlines)
    from dbtorch.core.forecast import Forecast

    forecast = Forecast(opening.planned.plan, opening.durations, run.states)
    return Timekeeper(deadlines, forecast if opening.durations else None, run.states)


def _random() -> float:
    """For the delay before a retry; most runs need none."""
    import random

    return random.random()


def _told_of(pause: Pause | None) -> str:
    if pause is None:
        return "the warehouse answers again; the run goes on"
    until = pause.until.astimezone()
    return f"{pause.reason}; nothing starts until one of them has been tried at {until:%H:%M:%S}"


def _leave(engine: AnyEngine, steps: Steps) -> None:
    """End every process at once; the store already says what had begun."""
    steps.kill()
    engine.kill()


def _exit_code(run: Run, signum: int | None) -> int:
    if signum is not None:
        return 128 + signum
    if run.state is RunState.SUCCESS:
        return GATED if run.gated else OK
    never_opened = run.states.get(SESSION_OPEN) is State.FAILED
    executed = any(count for id, count in run.attempts.items() if not id.startswith("session."))
    return USAGE if never_opened and not executed else NODE_FAILED


def _nothing_selected(view: View, options: Options) -> int:
    view.note("the selection matches no nodes; nothing was run", level="warning")
    return USAGE if options.fail_on_empty else OK


def _in_background(work: Any) -> Any:
    """Start ``work`` in a thread; the answer waits for its result."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(work()), daemon=True)
    thread.start()

    def answer() -> Any:
        thread.join()
        return result[0]

    return answer
