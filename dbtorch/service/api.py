"""The Python API: a dbt project, and everything that can be done with its runs.

What is named here is stable: CHANGELOG.md tells of every change. Errors are those of
`dbtorch.core.errors`, each with the sentence that the command line prints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from dbtorch.core.errors import UsageError
from dbtorch.core.model.state import State
from dbtorch.service.project.arguments import (
    PlanArguments,
    ResumeArguments,
    RunArguments,
    Selection,
    chosen,
    options_of,
    texts,
)
from dbtorch.service.project.project import find_project_dir
from dbtorch.service.run.handle import RunHandle, awaited, is_executed_here
from dbtorch.service.run.result import Run

if TYPE_CHECKING:
    from dbtorch.core.config import Config
    from dbtorch.core.model.events import Changed
    from dbtorch.core.model.graph import Graph
    from dbtorch.ports.store import Store
    from dbtorch.service.health.freshness import Check
    from dbtorch.service.health.health import ProjectHealth
    from dbtorch.service.history.logs import AttemptLog
    from dbtorch.service.history.runs import ListedRun
    from dbtorch.service.planning.plan import Plan
    from dbtorch.service.planning.preview import Outline
    from dbtorch.service.project.options import RunOptions
    from dbtorch.service.resume.request import RetryRequest
    from dbtorch.service.run.cancel import CancelAnswer
    from dbtorch.service.run.control import RunControl
    from dbtorch.service.run.listener import Executed, Listen
    from dbtorch.service.schedule.pauses import Paused
    from dbtorch.service.schedule.upcoming import PipelineSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """A node of a run went to another state; ``str`` of it is a line for people."""

    run_id: str
    node_id: str
    state: str
    attempt: int  # 0 before the first
    at: datetime
    reason: str  # one sentence; empty where there is nothing to say
    reason_kind: str = ""  # the same as a value that stays: docs/output.md lists them
    reason_nodes: tuple[str, ...] = ()  # ids of the nodes that the reason speaks of
    rows_affected: int | None = None  # by the attempt that has just ended, where dbt tells

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"{self.at:%H:%M:%S} {self.node_id} {self.state}{why}"


#: Is called in the run's thread; what it raises is logged, and the run goes on.
OnChange = Callable[[NodeChange], object]


class Project:
    """A dbt project. Opening it reads no file; each call reads what it needs.

    Everything may be called from any thread, and runs of several projects may go on at once.
    """

    def __init__(
        self,
        dir: str | os.PathLike[str] | None = None,
        *,
        target: str | None = None,
        profiles_dir: str | os.PathLike[str] | None = None,
        store: str | None = None,
        artifacts: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """The project in a folder; by default the current one, or the first above it that has one.

        ``store`` is the URL of the run history, ``artifacts`` that of what keeps logs and artifacts
        of runs, by default what dbtorch.yml says. ``environ`` are the variables that dbt and steps
        see, by default those of this process as they are now. Raises `ProjectError`.
        """
        self._environ = dict(os.environ if environ is None else environ)
        self.dir: Path = find_project_dir(None if dir is None else os.fspath(dir), self._environ)
        self.store = store
        self._artifacts = artifacts
        self._dbt_args: list[str] = ["--target", target] if target else []
        if profiles_dir is not None:
            self._dbt_args += ["--profiles-dir", str(Path(profiles_dir).resolve())]
        self._target = target

    def __repr__(self) -> str:
        return f"Project({str(self.dir)!r})"

    # ---------------------------------------------------------------- runs

    def plan(self, *, cached: bool = False, **given: Unpack[PlanArguments]) -> Plan:
        """What a run with these arguments would do: nodes, order, why, expected seconds.

        Executes nothing. With ``cached`` it is made of what dbt answered last time, and dbt is
        started only where a file, a variable or an option has changed since.
        Raises `ConfigError`, `EngineError`, `PlanError`, `SelectionError`.
        """
        from dbtorch.service.planning.plan import plan_of
        from dbtorch.service.planning.preview import cached_plan, open_plan

        warnings: list[str] = []
        options = self._options("plan", given)
        with ExitStack() as stack:
            if cached:
                opened = cached_plan(options, warn=warnings.append)
            else:
                opened = stack.enter_context(open_plan(options, warn=warnings.append))
            return plan_of(
                opened.planned,
                left_out=opened.held_back,
                warnings=tuple(warnings),
                target=str(opened.selected.target["name"]),
            )

    def outline(self, **given: Unpack[PlanArguments]) -> Outline:
        """The pipeline and what it comes to: graph and policies, from what dbt answered last time.

        Less than `plan`, for programs that make tasks of nodes. Raises what `plan` raises.
        """
        from dbtorch.service.planning.preview import outline

        return outline(self._options("outline", given))

    def run(self, *, on_change: OnChange | None = None, **given: Unpack[RunArguments]) -> Run:
        """Run the project, or a part of it, and return when that has ended, however it did.

        A `KeyboardInterrupt` cancels the run properly and is raised when it has ended; a second
        one kills it. Raises `RunInProgress` when somebody runs the pipeline on this target,
        `RunCancelled` when it is cancelled before it has begun, and what `plan` raises.
        """
        return awaited(self.start(on_change=on_change, **given))

    def start(
        self, *, on_change: OnChange | None = None, **given: Unpack[RunArguments]
    ) -> RunHandle:
        """The same without blocking; what `run` raises is raised by `RunHandle.wait`."""
        from dbtorch.adapters.run_files import new_run_id
        from dbtorch.service.run.run import run

        options = self._options("run", given)
        run_id = options.run_id or new_run_id()
        return self._handle(
            run_id,
            on_change,
            lambda listen, control: run(options, listen, control, run_id=run_id),
        )

    def retry(
        self,
        run: str = "latest",
        *,
        start_from: Selection = (),
        same_code: bool = False,
        reason: str = "",
        on_change: OnChange | None = None,
        **given: Unpack[ResumeArguments],
    ) -> Run:
        """Go on with a run, and return when it has ended: what did not succeed, and what follows.

        ``run`` is "latest", an id or the beginning of one; ``start_from`` are nodes that run again
        whatever their state. With ``same_code`` another code than the run used is refused. Raises
        `NothingToDo` where all of it was done, `NotFound`, and what `run` raises.
        """
        return awaited(
            self.start_retry(
                run,
                start_from=start_from,
                same_code=same_code,
                reason=reason,
                on_change=on_change,
                **given,
            )
        )

    def start_retry(
        self,
        run: str = "latest",
        *,
        start_from: Selection = (),
        same_code: bool = False,
        reason: str = "",
        on_change: OnChange | None = None,
        **given: Unpack[ResumeArguments],
    ) -> RunHandle:
        """`retry` without blocking; raises `NotFound` at once, all else in `RunHandle.wait`."""
        from dbtorch.core.history.records import Verb
        from dbtorch.service.resume.request import RetryRequest

        request = RetryRequest(
            verb=Verb.RETRY,
            start_from=texts(start_from),
            same_code=same_code,
            reason=self._kept(reason),
        )
        return self._resume("retry", run, request, on_change, given)

    def rerun(
        self,
        run: str,
        *,
        select: Selection,
        exclude: Selection = (),
        reason: str = "",
        on_change: OnChange | None = None,
        **given: Unpack[ResumeArguments],
    ) -> Run:
        """Run a part of a run again, whatever its state, and what depends on it.

        Raises `SelectionError` for what is no part of it, `NotFound`, and what `run` raises.
        """
        return awaited(
            self.start_rerun(
                run,
                select=select,
                exclude=exclude,
                reason=reason,
                on_change=on_change,
                **given,
            )
        )

    def start_rerun(
        self,
        run: str,
        *,
        select: Selection,
        exclude: Selection = (),
        reason: str = "",
        on_change: OnChange | None = None,
        **given: Unpack[ResumeArguments],
    ) -> RunHandle:
        """`rerun` without blocking; raises `NotFound` at once, all else in `RunHandle.wait`."""
        from dbtorch.core.history.records import Verb
        from dbtorch.service.resume.request import RetryRequest

        request = RetryRequest(
            verb=Verb.RERUN,
            select=chosen("select", select),
            exclude=texts(exclude),
            reason=self._kept(reason),
        )
        return self._resume("rerun", run, request, on_change, given)

    def mark(self, run: str, node: str, state: str, *, reason: str) -> Run:
        """Say that a node of a run that has ended is ``success`` or ``failed``; answers the run.

        Raises `UsageError` for a node that takes no mark, `RunInProgress`, `NotFound`.
        """
        from dbtorch.service.run.mark import mark

        if state not in (State.SUCCESS, State.FAILED):
            raise UsageError(f"a node is marked success or failed, not {state!r}")
        if not reason.strip():
            raise UsageError("a mark needs a reason, which the history keeps with it")
        with self._history(writes=True) as store:
            mark(store, run, node, State(state), reason=self._kept(reason))
        return self.show(run)

    def cancel(
        self, run: str = "latest", nodes: Selection = (), *, reason: str = "", wait: bool = True
    ) -> CancelAnswer:
        """Cancel a run, or nodes of it, wherever it is executed.

        With ``wait`` it is waited for, some seconds, but not by a listener of that very run. Raises
        `UsageError` when there is nothing to cancel, `NotFound`.
        """
        from dbtorch.service.history.lookup import read_run
        from dbtorch.service.run.cancel import cancel

        with self._history(writes=True) as store:
            run_id = read_run(store, run).run_id
            wait = wait and not is_executed_here(run_id)
            return cancel(store, run_id, texts(nodes), reason=self._kept(reason), wait=wait)

    def schedule(
        self, pipeline: str | None = None, *, since: datetime | None = None, count: int = 5
    ) -> list[PipelineSchedule]:
        """When pipelines with a schedule run next, after a moment: now by default.

        Raises `ConfigError`, `NotFound`, `StoreError`.
        """
        from dbtorch.service.schedule.upcoming import next_runs

        return next_runs(
            str(self.dir),
            pipeline,
            since=since or datetime.now(UTC),
            count=count,
            database_url=self.store,
            environ=self._environ,
        )

    def pause(self, pipeline: str, *, reason: str = "") -> Paused:
        """Let no run of a pipeline start by itself; the answer says who had paused it before.

        Raises `NotFound`, `UsageError` for a pipeline without a schedule.
        """
        from dbtorch.service.schedule.pauses import pause

        with self._scheduled() as (config, store):
            return pause(store, config, pipeline, reason=self._kept(reason))

    def resume(self, pipeline: str) -> Paused:
        """Let a pipeline start by itself again. Raises `NotFound`, `NothingToDo`."""
        from dbtorch.service.schedule.pauses import resume

        with self._scheduled() as (config, store):
            return resume(store, config, pipeline)

    # ---------------------------------------------------------------- what there is to know

    def runs(self, *, limit: int = 20, pipeline: str | None = None) -> tuple[ListedRun, ...]:
        """The newest runs, newest first. Raises `StoreError`."""
        from dbtorch.service.history.runs import list_runs

        with self._history() as store:
            return list_runs(store, limit=limit, pipeline=pipeline)

    def show(self, run: str = "latest") -> Run:
        """A run as it is now. Raises `NotFound`, `StoreError`."""
        from dbtorch.service.history.run import show_run

        with self._history() as store:
            found = show_run(store, run)
        return Run(
            id=found.record.run_id,
            state=found.state,
            at=found.at,
            record=found.record,
            rows=found.rows,
        )

    def log(self, run: str, node: str, attempt: int | None = None) -> AttemptLog:
        """The log of an attempt at a node, of the last one by default; ``text`` has what it says.

        Raises `NotFound`, `StoreError`.
        """
        from dbtorch.service.history.logs import find_log
        from dbtorch.service.project.artifacts import artifacts_for_reading

        with self._history() as store:
            return find_log(
                store,
                run,
                node,
                attempt=attempt,
                project_dir=self.dir,
                artifacts=lambda: artifacts_for_reading(self.dir, self._artifacts, self._environ),
                environ=self._environ,
            )

    def health(self, *, check: bool = False) -> ProjectHealth:
        """How old pipelines, sources and tables are, healthy or not, and why.

        With ``check`` dbt is asked how fresh the sources are now. Raises `StoreError`.
        """
        from dbtorch.service.health.health import health
        from dbtorch.service.history.store import history_of
        from dbtorch.service.project.project import open_project

        options = self._options("health", {})
        project = open_project(options.project_dir, self._environ)
        with closing(history_of(project, options)) as store:
            return health(project, store, options, target=self._target, check=check)

    def freshness(self, *, select: Selection = (), exclude: Selection = ()) -> tuple[Check, ...]:
        """Check sources by dbt's own rules, and write sources.json.

        Empty for a project whose sources say nothing of freshness. Raises `UsageError` where a
        selection has no such source, `EngineError`.
        """
        from dbtorch.service.health.freshness import check_freshness

        given = {"select": select, "exclude": exclude}
        return check_freshness(self._options("freshness", given))

    def graph(self, **given: Unpack[PlanArguments]) -> Graph:
        """Steps and dbt nodes of a plan, and what comes after what. Raises what `plan` raises."""
        return self.plan(**given).graph

    # ---------------------------------------------------------------- how

    def _options(self, called: str, given: Mapping[str, Any]) -> RunOptions:
        return options_of(
            self.dir,
            given,
            dbt_args=self._dbt_args,
            store=self.store,
            artifacts=self._artifacts,
            environ=self._environ,
            called=called,
        )

    def _resume(
        self,
        called: str,
        run: str,
        request: RetryRequest,
        on_change: OnChange | None,
        given: Mapping[str, Any],
    ) -> RunHandle:
        from dbtorch.service.history.lookup import read_run
        from dbtorch.service.resume.retry import retry

        options = self._options(called, given)
        with self._history() as store:
            run_id = read_run(store, run).run_id
        return self._handle(
            run_id,
            on_change,
            lambda listen, control: retry(options, run_id, request, listen, control),
        )

    def _handle(
        self,
        run_id: str,
        on_change: OnChange | None,
        work: Callable[[Listen, RunControl], Executed],
    ) -> RunHandle:
        def execute(control: RunControl) -> Run:
            ended = work(_listening(run_id, on_change), control)
            from dbtorch.adapters.clock import SystemClock

            return Run(
                id=ended.run_id,
                state=ended.state.value,
                at=SystemClock().now(),
                record=ended.record,
            )

        return RunHandle(run_id, execute, self._kept)

    @contextmanager
    def _history(self, *, writes: bool = False) -> Iterator[Store]:
        from dbtorch.service.history.store import open_history
        from dbtorch.service.project.project import configured_store

        url = configured_store(self.store, self.dir, self._environ)
        with open_history(str(self.dir), url, writes=writes, environ=self._environ) as store:
            yield store

    @contextmanager
    def _scheduled(self) -> Iterator[tuple[Config, Store]]:
        from dbtorch.service.schedule.project import scheduled_project

        with scheduled_project(str(self.dir), self.store, self._environ) as found:
            yield found

    def _kept(self, text: str) -> str:
        """What somebody says, as it may be kept."""
        from dbtorch.service.project.known_secrets import scrubber_of_environment

        return scrubber_of_environment(self._environ)(text)


def _listening(run_id: str, on_change: OnChange | None) -> Listen:
    from dbtorch.service.run.listener import LogListener

    def tell(changes: Sequence[Changed]) -> None:
        for change in changes if on_change is not None else ():
            assert on_change is not None
            on_change(
                NodeChange(
                    run_id=run_id,
                    node_id=change.node_id,
                    state=change.state.value,
                    attempt=change.attempt,
                    at=change.at,
                    reason=str(change.reason),
                    reason_kind=change.reason.kind.value,
                    reason_nodes=change.reason.nodes,
                    rows_affected=change.outcome.rows_affected if change.outcome else None,
                )
            )

    return lambda _clock, hide: LogListener(tell, hide)
