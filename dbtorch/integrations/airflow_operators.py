"""The tasks that a pipeline is in Airflow: one runs it, the others show how its nodes end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.sdk import Asset, BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowRuntimeError,
    AirflowSkipException,
)
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import StartTriggerArgs

from dbtorch.adapters.cron import interval
from dbtorch.core.errors import (
    DbtorchError,
    EngineError,
    NothingToDo,
    RunInProgress,
    StoreUnreachable,
    UsageError,
)
from dbtorch.core.model.interval import NoInterval
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import FailureClass, RunState
from dbtorch.core.run.simulation import is_shown
from dbtorch.core.text.links import run_link
from dbtorch.integrations.airflow_ends import (
    End,
    Ended,
    Next,
    Standing,
    built,
    decided,
    run_id_of,
    to_execute,
    why_failed,
)
from dbtorch.integrations.airflow_triggers import (
    LOOK_EVERY,
    NodesTrigger,
    RunTrigger,
    is_over,
    look,
    waits,
)
from dbtorch.integrations.following import FollowedRun

if TYPE_CHECKING:
    from airflow.sdk import Context

    from dbtorch.core.schedule.schedule import Schedule
    from dbtorch.service.api import Project
    from dbtorch.service.project.arguments import RunArguments
    from dbtorch.service.run.result import Run

#: Seconds until a task looks again that no triggerer shows, while nobody executes the run.
_ASK_AGAIN = 10.0

#: How long a node that was cleared waits for whoever executes the run.
_WAIT = "1d"

#: Arguments of a run that a DAG run has for itself.
_NOT_OPTIONS = ("run_id", "pipeline")


class RunLink(BaseOperatorLink):  # type: ignore[misc]
    """The page of the run, where `ui.url` says where pages are."""

    name = "dbtorch"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The address; empty for none."""
        return run_link(getattr(operator, "ui_url", ""), run_id_of(ti_key.dag_id, ti_key.run_id))


class RunOperator(BaseOperator):  # type: ignore[misc]
    """Runs a pipeline from its beginning to its end, in one session of dbt."""

    ui_color = "#f0e4d4"
    operator_extra_links = (RunLink(),)

    def __init__(
        self,
        *,
        project: Project,
        given: RunArguments,
        nodes: Mapping[str, Sequence[str]],
        schedule: Schedule | None = None,
        ui_url: str = "",
        **kwargs: Any,
    ) -> None:
        """``nodes`` are those that other tasks show, by the ids of these."""
        super().__init__(**kwargs)
        self.project = project
        self.given = given
        self.nodes = nodes
        self.schedule = schedule
        self.ui_url = ui_url
        self.followed: FollowedRun | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run it, or go on with it; its summary is the task's result."""
        try:
            run = self._run(context)
        except NothingToDo as nothing:
            self.log.info("%s", nothing)
            run = self.project.show(run_id_of(*_dag_of(context)))
        except DbtorchError as error:
            may_work = isinstance(error, RunInProgress | StoreUnreachable) or (
                isinstance(error, EngineError) and error.failure_class is FailureClass.TRANSIENT
            )
            raise (AirflowException if may_work else AirflowFailException)(str(error)) from error
        summary = self._summary(run)
        context["ti"].xcom_push(key="run", value=summary)
        if run.state == RunState.GATED:
            raise AirflowSkipException(f"run {run.id} is gated: sources are not fresh")
        if run.state != RunState.SUCCESS:
            why = why_failed(run.record)
            raise AirflowFailException(f"run {run.id}: {run.state}{f': {why}' if why else ''}")
        return summary

    def on_kill(self) -> None:
        """Cancel the run: its queries and steps end, and the history says who wanted it."""
        if self.followed is not None:
            self.followed.cancel("its task in Airflow was ended")

    def _run(self, context: Context) -> Run:
        run_id = run_id_of(*_dag_of(context))
        options = (getattr(context["dag_run"], "conf", None) or {}).get("options") or {}
        if wrong := [name for name in _NOT_OPTIONS if name in options]:
            raise UsageError(f"options of a DAG run have no {wrong[0]!r}: the DAG says it")
        given: dict[str, Any] = {**self.given, **options, "run_id": run_id}
        again = self._cleared(context, run_id)
        if again is None:
            given |= _about(context, self.schedule, given)
            self.followed = FollowedRun(self.project, **cast("RunArguments", given))
        else:
            self.followed = FollowedRun.begun(
                self.project,
                lambda tell: self.project.start_retry(
                    run_id, start_from=again, reason="cleared in Airflow", on_change=tell
                ),
            )
        with self.followed as followed:
            for change in followed:
                self.log.info("%s", change)
            return followed.result

    def _cleared(self, context: Context, run_id: str) -> list[str] | None:
        """Nodes that run again as their tasks were cleared with this one; None for a run as ever.

        Another try after one that was lost goes on with the run, and executes no node twice.
        """
        ti = context["ti"]
        if (ti.max_tries or 0) <= (self.retries or 0):
            return None
        standing = look(
            str(self.project.dir), self.project.store, run_id, counted=False, over=False
        )
        if standing.record is None:
            return None
        dag_id, dag_run = _dag_of(context)
        found = RuntimeTaskInstance.get_task_states(dag_id=dag_id, run_ids=[dag_run])
        states = found.get(dag_run, {})
        ended = {end.value for end in End} | {"upstream_failed", "removed"}
        waiting = [task for task in self.nodes if states.get(task) not in ended]
        if not waiting and standing.record.state is RunState.SUCCESS:
            return [node.id for node in standing.record.nodes if is_shown(node.kind)]
        return [id for task in waiting for id in self.nodes[task] if id in standing.nodes]

    def _summary(self, run: Run) -> dict[str, Any]:
        said = run.to_json()
        return {
            "run_id": run.id,
            "state": run.state,
            "counts": said.get("counts", {}),
            "failed": [label(node) for node in run.failed],
            "url": run_link(self.ui_url, run.id),
        }


class NodesOperator(BaseOperator):  # type: ignore[misc]
    """Ends as nodes of the run do. It executes nothing, but where it was cleared."""

    ui_color = "#e8f0e4"
    trigger: ClassVar[type[NodesTrigger]] = NodesTrigger

    def __init__(
        self,
        *,
        project: Project,
        nodes: Sequence[str],
        assets: Mapping[str, Asset],
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        """``assets`` of nodes, by their ids; ``deferrable``: the triggerer shows how it ends."""
        super().__init__(retries=0, do_xcom_push=False, **kwargs)
        self.project = project
        self.nodes = nodes
        self.assets = assets
        if deferrable:
            self.start_from_trigger = True
            self.start_trigger_args = StartTriggerArgs(
                **waits(self.trigger, self.project.dir, nodes, None), next_method="resumed"
            )

    def execute(self, context: Context) -> str:
        """Wait for the end in a worker, as `airflow dags test` does, which knows no triggerer."""
        unsure = False
        while True:
            standing = self._standing(context)
            found = decided(standing, self.nodes, context["ti"].try_number)
            if isinstance(found, Ended) and (found.sure or unsure):
                return _end(found)
            if found is Next.AGAIN:
                self._again(context, standing)
            elif not standing.driven and not isinstance(found, Ended):
                raise _later()
            unsure = isinstance(found, Ended)
            time.sleep(LOOK_EVERY)

    def resumed(self, context: Context, event: Mapping[str, Any]) -> str:
        """What the triggerer has left to a worker."""
        return str(self.execute(context))

    def on_kill(self) -> None:
        """Cancel what runs again."""
        if (followed := getattr(self, "followed", None)) is not None:
            followed.cancel("its task in Airflow was ended")

    def _standing(self, context: Context) -> Standing:
        dag = _dag_of(context)
        counted = context["ti"].try_number > 1
        try:
            over = is_over(*dag)
            return look(
                str(self.project.dir),
                self.project.store,
                run_id_of(*dag),
                counted=counted,
                over=over,
            )
        except (StoreUnreachable, AirflowRuntimeError) as error:
            self.log.warning("%s", error)
            raise _later() from error
        except DbtorchError as error:
            raise AirflowFailException(str(error)) from error

    def _again(self, context: Context, standing: Standing) -> None:
        """Execute its nodes again, and what depends on them, in the same run."""
        chosen = to_execute(standing, self.nodes, context["ti"].try_number)
        self.followed = FollowedRun.begun(
            self.project,
            lambda tell: self.project.start_rerun(
                standing.run_id,
                select=[label(node) for node in chosen],
                reason=f"task {self.task_id} was cleared in Airflow",
                wait=_WAIT,
                on_change=tell,
            ),
        )
        try:
            with self.followed as followed:
                for change in followed:
                    self.log.info("%s", change)
                run = followed.result
        except DbtorchError as error:
            raise AirflowFailException(str(error)) from error
        if run.record is not None:
            self._tell(built(run.record, last_execution=True))

    def _tell(self, ids: Sequence[str]) -> None:
        """Let Airflow know what was built, if the task succeeds."""
        self.outlets = [self.assets[id] for id in ids if id in self.assets]


class AssetsOperator(NodesOperator):
    """Tells Airflow of the assets that the run has built, whatever else failed in it."""

    trigger = RunTrigger

    def execute(self, context: Context) -> str:
        """Wait for the end of the run in a worker."""
        standing = self._standing(context)
        while not standing.ended:
            if not standing.driven:
                raise _later()
            time.sleep(LOOK_EVERY)
            standing = self._standing(context)
        if standing.record is None:
            return _end(cast("Ended", decided(standing, (), 1)))
        self._tell(built(standing.record, last_execution=context["ti"].try_number > 1))
        if not self.outlets:
            raise AirflowSkipException("nothing was built")
        return ", ".join(sorted(asset.name for asset in self.outlets))


def _end(found: Ended) -> str:
    if found.end is End.FAILED:
        raise AirflowFailException(found.says)
    if found.end is End.SKIPPED:
        raise AirflowSkipException(found.says)
    return found.says


def _later() -> AirflowRescheduleException:
    return AirflowRescheduleException(datetime.now(UTC) + timedelta(seconds=_ASK_AGAIN))


def _dag_of(context: Context) -> tuple[str, str]:
    ti = context["ti"]
    return str(ti.dag_id), str(ti.run_id)


def _about(
    context: Context, schedule: Schedule | None, given: Mapping[str, Any]
) -> dict[str, tuple[datetime, datetime]]:
    """What the run stands for: the data interval, where Airflow or the pipeline knows one.

    An interval without a width, as that of most of Airflow's schedules, is the one that ended then.
    """
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is None or end is None or "logical_date" in given or "data_interval" in given:
        return {}
    if start < end:
        return {"data_interval": (start, end)}
    if schedule is None:
        return {}
    try:
        found = interval(schedule, None, end.astimezone(UTC))
    except NoInterval as error:
        raise UsageError(f"{error}; give the DAG run another logical date") from error
    return {"data_interval": (found.start, found.end)} if found.start is not None else {}
