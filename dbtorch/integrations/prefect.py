"""A pipeline as a flow of Prefect 3: a task run for each node, as it happens.

dbtorch executes the run, retries included; the flow shows it. Needs the extra ``prefect``.
"""

from __future__ import annotations

import os
import queue
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from prefect import allow_failure, flow, get_run_logger, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import StateType
from prefect.futures import PrefectFuture
from prefect.schedules import Cron, Interval, Schedule
from prefect.states import State as PrefectState
from prefect.task_runners import ThreadPoolTaskRunner

from dbtorch.core.errors import UsageError
from dbtorch.core.model.state import RunState, State
from dbtorch.integrations.following import FollowedRun, planned
from dbtorch.service.api import NodeChange, Project
from dbtorch.service.planning.plan import PlannedNode
from dbtorch.service.schedule.elsewhere import since
from dbtorch.service.schedule.upcoming import schedule_of

if TYPE_CHECKING:
    from prefect import Flow

    from dbtorch.service.project.arguments import RunArguments

#: Nodes that a flow shows as running at once; what is beyond is shown a moment later.
_AT_ONCE = 200

#: What a node's end is in Prefect: nothing is green there that is not here.
_ENDS = {
    State.SUCCESS: (StateType.COMPLETED, "Completed"),
    State.WARN: (StateType.COMPLETED, "Warn"),
    State.REUSED: (StateType.COMPLETED, "Reused"),
    State.FAILED: (StateType.FAILED, "Failed"),
    State.UPSTREAM_FAILED: (StateType.CANCELLED, "UpstreamFailed"),
    State.SKIPPED: (StateType.CANCELLED, "Skipped"),
    State.CANCELLED: (StateType.CANCELLED, "Cancelled"),
    State.REMOVED: (StateType.CANCELLED, "Removed"),
}

#: The same of a run; a gated one has not failed, and is not done.
_RUN_ENDS = {
    RunState.SUCCESS: (StateType.COMPLETED, "Completed"),
    RunState.GATED: (StateType.CANCELLED, "Gated"),
    RunState.FAILED: (StateType.FAILED, "Failed"),
    RunState.CANCELLED: (StateType.CANCELLED, "Cancelled"),
}


def dbtorch_flow(
    project: Project | str | os.PathLike[str] = ".",
    pipeline: str | None = None,
    /,
    *,
    name: str | None = None,
    **options: Unpack[RunArguments],
) -> Flow[[dict[str, Any] | None], Any]:
    """A flow that runs a pipeline of a project; everything where none is named.

    ``options`` are those of `Project.run`; a run of the flow may be given some of its own, as its
    parameter ``options``. A flow run that Prefect retries goes on with the same run of dbtorch.
    What is wrong in the project is found when the flow runs. Raises `ProjectError`.
    """
    opened = project if isinstance(project, Project) else Project(project)
    fixed: dict[str, Any] = {**options}
    if pipeline is not None:
        fixed["pipeline"] = pipeline
    pipeline = fixed.get("pipeline") or "all"
    called = name or re.sub(r"[/%&<>]", "-", f"{opened.dir.name}-{pipeline}")

    def run(options: dict[str, Any] | None = None) -> PrefectState[Any]:
        return _run(opened, {**fixed, **(options or {})})

    run.__doc__ = f"dbtorch: {pipeline} of {opened.dir}"
    return flow(
        name=called,
        flow_run_name=lambda: called,  # a text would be a template
        task_runner=ThreadPoolTaskRunner(max_workers=_AT_ONCE),
    )(run)


def dbtorch_schedules(
    project: Project | str | os.PathLike[str] = ".", pipeline: str = "default"
) -> list[Schedule]:
    """What dbtorch.yml says of when a pipeline runs, for ``schedules=`` of ``flow.serve``.

    Days and windows in which it does not tick are not Prefect's to know: a pipeline that has some
    is refused. Raises `ConfigError`, `NotFound`, `UsageError`.
    """
    opened = project if isinstance(project, Project) else Project(project)
    found = schedule_of(opened.dir, pipeline)
    if found.except_ or found.blackouts:
        raise UsageError(
            f"pipeline {pipeline} leaves out days or hours (except, blackout), which Prefect's"
            " schedules cannot; use dbtorch serve, or take them out"
        )
    if found.every is not None:
        # by UTC, in which it is always as long, and not from when this process began
        return [Interval(found.every, anchor_date=since(found), timezone="UTC")]
    return [
        Cron(cron, timezone=found.timezone, slug=f"{pipeline}-{n}")
        for n, cron in enumerate(found.crons)
    ]


def _run(project: Project, options: Mapping[str, Any]) -> PrefectState[Any]:
    """Run the pipeline in the flow run that is under way; answers how that ends."""
    say = get_run_logger()
    run_id = options.get("run_id") or f"prefect-{runtime.flow_run.id}"
    given = cast("RunArguments", {**options, "run_id": run_id})
    with (
        _TaskRuns(planned(project, given)) as shown,
        FollowedRun(project, **given) as followed,
    ):
        for change in followed:
            shown.tell(change)
        run = followed.result
    say.info("run %s: %s", run.id, run.state)
    create_table_artifact(
        [{"node": one.name, "kind": one.kind.value, "state": one.state.value} for one in run.nodes],
        key=re.sub(r"[^a-z0-9]+", "-", f"dbtorch-{options.get('pipeline') or 'all'}".lower()),
        description=f"dbtorch show {run.id}",
    )
    kind, called = _RUN_ENDS.get(RunState(run.state), (StateType.FAILED, run.state))
    failed = ", ".join(node.name for node in run.failed)
    message = f"run {run.id}: {run.state}" + (f"; failed: {failed}" if failed else "")
    return PrefectState(type=kind, name=called, message=message)


class _TaskRuns:
    """A task run for every node that has begun, or that will not any more; entered for the run."""

    def __init__(self, known: Mapping[str, PlannedNode]) -> None:
        self._known = known
        self._told: dict[str, queue.SimpleQueue[NodeChange | None]] = {}
        self._futures: dict[str, PrefectFuture[Any]] = {}
        self._ends: dict[str, StateType] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let what was told be shown; a node whose end nobody told has crashed."""
        for told in self._told.values():
            told.put(None)
        for future in self._futures.values():
            future.wait()

    def tell(self, change: NodeChange) -> None:
        """Show a change of a node."""
        node = self._known.get(change.node_id)
        begun = change.state not in (State.PENDING, State.QUEUED)
        if node is not None and node.id not in self._told and begun:
            self._told[node.id] = queue.SimpleQueue()
            self._futures[node.id] = self._shown(node)
        if change.node_id in self._told:
            self._told[change.node_id].put(change)
            if (end := _ENDS.get(State(change.state))) is not None:
                self._ends[change.node_id] = end[0]

    def _shown(self, node: PlannedNode) -> PrefectFuture[Any]:
        told = self._told[node.id]

        def follow() -> PrefectState[Any]:
            say = get_run_logger()
            while change := told.get():
                say.info("%s", change)
                if (end := _ENDS.get(State(change.state))) is not None:
                    return PrefectState(type=end[0], name=end[1], message=change.reason or None)
            return PrefectState(type=StateType.CRASHED, message="nobody saw how it ended")

        shown = task(
            name=node.name,
            task_run_name=lambda: node.name,  # a text would be a template
            tags=[node.kind],
            cache_policy=NO_CACHE,
        )(follow)
        return shown.submit(wait_for=list(self._before(node)))

    def _before(self, node: PlannedNode) -> Iterator[Any]:
        """What comes before a node, for Prefect's graph; it waits for no cancelled one."""
        for id in node.after:
            if self._ends.get(id) is StateType.COMPLETED:
                yield self._futures[id]
            elif self._ends.get(id) is StateType.FAILED:
                yield allow_failure(self._futures[id])
