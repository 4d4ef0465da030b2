"""A pipeline as a DAG of Airflow 3: a task for each node or group of nodes.

One task runs the pipeline, in one session of dbt with dbtorch's own retries, gates and alerts; the
others end as their nodes do. Needs the extra ``airflow``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    DAG,
    Asset,
    CronDataIntervalTimetable,
    DeltaDataIntervalTimetable,
    MultipleCronTriggerTimetable,
    TaskGroup,
)

from dbtorch.core.errors import UsageError
from dbtorch.core.model.graph import Graph
from dbtorch.core.model.naming import called_apart
from dbtorch.core.schedule.rules import Catchup
from dbtorch.integrations.airflow_operators import AssetsOperator, NodesOperator, RunOperator
from dbtorch.integrations.airflow_tasks import (
    ASSETS,
    LONGEST,
    RUN,
    Granularity,
    TaskSpec,
    is_relation,
    key,
    tasks_of,
)
from dbtorch.integrations.following import of_plan
from dbtorch.service.api import Project
from dbtorch.service.schedule.elsewhere import cron_of_every, since

if TYPE_CHECKING:
    from airflow.sdk.bases.timetable import BaseTimetable

    from dbtorch.core.schedule.schedule import Schedule
    from dbtorch.service.planning.preview import Outline
    from dbtorch.service.project.arguments import RunArguments

#: What is said where nothing is, as None is a schedule of Airflow's.
_AS_DBTORCH: Any = object()

#: Until a run goes on whose worker was lost.
_RETRY_DELAY = timedelta(seconds=30)

#: Where intervals begin that nobody limits.
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


def dbtorch_dag(
    project: Project | str | os.PathLike[str],
    pipeline: str | None = None,
    /,
    *,
    granularity: str = Granularity.NODE,
    dag_id: str | None = None,
    schedule: Any = _AS_DBTORCH,
    options: RunArguments | None = None,
    assets: bool = True,
    deferrable: bool = True,
    run_task: Mapping[str, Any] | None = None,
    **dag: Any,
) -> DAG:
    """A DAG that runs a pipeline of a project; everything where none is named.

    ``granularity`` is ``node``, ``model_with_tests``, ``layer`` or ``pipeline``. ``schedule`` is
    that of dbtorch.yml where nothing is said; ``options`` are those of `Project.run`. With
    ``assets`` Airflow is told of what was built; ``deferrable`` lets the triggerer show how nodes
    end, without a worker. ``run_task`` are arguments of the task that runs the pipeline (pool,
    queue, retries), all others are those of Airflow's `DAG`. Raises `UsageError` for what Airflow
    cannot do, and what `Project.plan` raises.
    """
    opened = project if isinstance(project, Project) else Project(project)
    given: RunArguments = {**(options or {})}
    if pipeline is not None:
        given["pipeline"] = pipeline
    if "run_id" in given:
        raise UsageError("options have no run_id: each DAG run has one of its own")
    if granularity not in [*Granularity]:
        raise UsageError(f"granularity is {granularity!r}; one of {', '.join(Granularity)}")
    outline = opened.outline(**of_plan(given))
    specs = tasks_of(outline.plan, Granularity(granularity), outline.project)
    made = DAG(
        dag_id or key(f"{outline.project}-{outline.pipeline.name}"),
        schedule=timetable(outline) if schedule is _AS_DBTORCH else schedule,
        **_said(outline, dag),
    )
    _fill(made, opened, given, outline, specs, assets, deferrable, run_task or {})
    return made


def timetable(outline: Outline) -> BaseTimetable | None:
    """What dbtorch.yml says of when a pipeline runs; each run covers the interval that has ended.

    Raises `UsageError` for what Airflow cannot do: days and hours that are left out, some `every`.
    """
    found, name = outline.pipeline.schedule, outline.pipeline.name
    if found is None:
        return None
    if found.except_ or found.blackouts:
        raise UsageError(
            f"pipeline {name} leaves out days or hours (except, blackout), which Airflow's"
            " timetables cannot; give dbtorch_dag a schedule= of your own"
        )
    if found.every is not None:
        return _every(found, name)
    if len(found.crons) > 1:
        return MultipleCronTriggerTimetable(*found.crons, timezone=found.timezone)
    return CronDataIntervalTimetable(found.crons[0], timezone=found.timezone)


def _every(schedule: Schedule, name: str) -> BaseTimetable:
    """Airflow counts from the beginning of 1970 in UTC, or from the start where it catches up."""
    seconds = schedule.every or 0.0
    counts_from_start = schedule.start_date is not None and schedule.catchup is Catchup.ALL
    if counts_from_start or since(schedule).timestamp() % seconds == 0:
        return DeltaDataIntervalTimetable(timedelta(seconds=seconds))
    cron = cron_of_every(schedule)
    if cron is None:
        raise UsageError(
            f"pipeline {name} runs {schedule} from {since(schedule):%Y-%m-%d %H:%M} UTC on, which"
            " Airflow's timetables cannot; give dbtorch_dag a schedule= of your own"
        )
    return CronDataIntervalTimetable(cron, timezone="UTC")


def _said(outline: Outline, dag: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the DAG, where nobody says another thing."""
    pipeline, when = outline.pipeline, outline.pipeline.schedule
    owner = {"owner": pipeline.owner} if pipeline.owner else {}
    return {
        "start_date": when.start_date if when is not None and when.start_date else _BEGINNING,
        "end_date": when.end_date if when is not None else None,
        "catchup": when is not None and when.catchup is Catchup.ALL,
        "max_active_runs": 1,
        "description": pipeline.description or f"dbtorch: {pipeline.name} of {outline.project}",
        "tags": ["dbtorch"],
        **dag,
        "default_args": {**owner, **dag.get("default_args", {})},
    }


def _fill(
    dag: DAG,
    project: Project,
    given: RunArguments,
    outline: Outline,
    specs: tuple[TaskSpec, ...],
    assets: bool,
    deferrable: bool,
    run_task: Mapping[str, Any],
) -> None:
    graph = outline.plan.graph
    known = _assets(graph, outline) if assets else {}
    # an address with a password would be in Airflow's database
    deferrable = deferrable and project.store is None
    RunOperator(
        task_id=RUN,
        dag=dag,
        project=project,
        given=given,
        nodes={spec.id: spec.nodes for spec in specs},
        schedule=outline.pipeline.schedule,
        ui_url=outline.ui_url,
        doc_md=f"Runs `{outline.pipeline.name}`; the other tasks end as their nodes do.",
        **{
            "retries": 2,
            "retry_delay": _RETRY_DELAY,
            "weight_rule": "absolute",
            "priority_weight": 100,
            **run_task,
        },
    )
    names = _group_names(spec.folder for spec in specs)
    groups: dict[tuple[str, ...], TaskGroup] = {}
    tasks: dict[str, NodesOperator] = {}
    for spec in specs:
        owner = {"owner": spec.owner} if spec.owner else {}
        task = NodesOperator(
            task_id=spec.id,
            dag=dag,
            task_group=_group(dag, spec.folder, names, groups),
            project=project,
            nodes=spec.nodes,
            assets=known,
            deferrable=deferrable,
            trigger_rule="none_failed" if spec.needs_success else "all_done",
            doc_md=spec.doc,
            **owner,
        )
        tasks[spec.id] = task
        # what set_upstream does, without looking at whole DAGs each time
        task.upstream_task_ids.update(spec.after)
        for before in spec.after:
            tasks[before].downstream_task_ids.add(spec.id)
    if known:
        AssetsOperator(
            task_id=ASSETS,
            dag=dag,
            project=project,
            nodes=(),
            assets=known,
            deferrable=deferrable,
            outlets=list(known.values()),
            doc_md="Tells Airflow of the assets that were built.",
        )


def _assets(graph: Graph, outline: Outline) -> dict[str, Asset]:
    """An asset of each relation, named as dbt does."""
    return {
        id: Asset(name=id, uri=f"x-dbtorch://{outline.project}/{id}")
        for id in graph.order()
        if is_relation(graph.nodes[id])
    }


def _group_names(folders: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """What the groups of folders are called, and of those around them."""
    all = {folder[:depth] for folder in {*folders} for depth in range(1, len(folder) + 1)}
    texts = {"/".join(folder): "--".join(("in", *folder)) for folder in all}
    return called_apart(texts, lambda text: key(text).replace(".", "-"), longest=LONGEST)


def _group(
    dag: DAG,
    folder: tuple[str, ...],
    names: Mapping[str, str],
    groups: dict[tuple[str, ...], TaskGroup],
) -> TaskGroup | None:
    """The group of a folder, within that of the folder around it."""
    if not folder:
        return None
    if folder not in groups:
        groups[folder] = TaskGroup(
            names["/".join(folder)],
            dag=dag,
            parent_group=_group(dag, folder[:-1], names, groups),
            prefix_group_id=False,
            group_display_name=folder[-1],
        )
    return groups[folder]
