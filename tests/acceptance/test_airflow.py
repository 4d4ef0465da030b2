"""A real DAG of a real Airflow: its tasks end as the nodes of dbtorch's run do."""

import re

from tests.acceptance.workspace import Workspace
from tests.orchestrated import ENDS, EXPECTED, FILES, seen
from tests.orchestrators import AIRFLOW_3

#: What a node's end is in Airflow.
SHOWN = {"warn": "success"}

SCRIPT = """
import asyncio, json, sys
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID
from airflow.models import TaskInstance
from airflow.models.asset import AssetEvent
from airflow.models.taskinstance import clear_task_instances
from airflow.sdk._shared.module_loading import import_string
from airflow.sdk.api.datamodels._generated import TaskInstance as Shown
from airflow.sdk.definitions.dag import _run_task
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
import dbtorch
from dbtorch.core.config import PipelineSpec
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.integrations import airflow_triggers
from dbtorch.integrations.airflow import _group_names, timetable
from page import daily, dbtorch_dag

told = {}
told["of dbt"] = [name for name in sys.modules if name.split(".")[0] == "dbt"]
told["schedule"] = [daily.timetable.expression, str(daily.timetable.timezone), daily.catchup]
task = daily.get_task("flaky")
told["flaky"] = [task.owner, task.doc_md]
told["rules"] = sorted({task.trigger_rule.value for task in daily.tasks})
told["group"] = [daily.get_task(name).task_group.group_display_name for name in ("b", "after_c")]
told["groups"] = [*_group_names([("a.b", "c (d)"), ("a b",), ("d",)]).values()]
def every(seconds, zone):
    spec = PipelineSpec(name="p", schedule=Schedule(every=seconds, timezone=zone))
    return timetable(SimpleNamespace(pipeline=spec))

told["every"] = [every(21600.0, "Europe/Berlin").expression, every(900.0, "Asia/Kolkata").delta.total_seconds()]
try:
    every(25200.0, "Asia/Kolkata")
except dbtorch.UsageError as error:
    told["every"].append(str(error))
told["before"] = {name: sorted(daily.get_task(name).upstream_task_ids)
                  for name in ("a", "b", "after_c", "then", "dbtorch-run", "dbtorch-assets")}
told["tasks"] = {kind: sorted(dbtorch_dag(".", "daily", granularity=kind, dag_id=kind).task_dict)
                 for kind in ("model_with_tests", "pipeline")}
try:
    dbtorch_dag(".", "closed")
except dbtorch.UsageError as error:
    told["refused"] = str(error)

run = daily.test()
told["state"] = str(run.state)
told["interval"] = [run.data_interval_start.isoformat(), run.data_interval_end.isoformat()]

def ends():
    with create_session() as session:
        found = session.query(TaskInstance).filter(TaskInstance.run_id == run.run_id)
        return {one.task_id: str(one.state) for one in found}

def built():
    with create_session() as session:
        return sorted(event.asset.name for event in session.query(AssetEvent))

told["ends"], told["built"] = ends(), built()
told["run"] = dbtorch.Project(".").show("latest").id

# what the triggerer does of the same tasks, without a worker
def triggered(name):
    args = daily.get_task(name).start_trigger_args
    with create_session() as session:
        ti = session.query(TaskInstance).filter_by(run_id=run.run_id, task_id=name).one()
        ti = Shown(id=UUID(str(ti.id)), task_id=name, dag_id=ti.dag_id, run_id=run.run_id,
                   try_number=1, map_index=-1, dag_version_id=UUID(str(ti.dag_version_id)))
    trigger = import_string(args.trigger_cls)(**args.trigger_kwargs)
    trigger.task_instance = ti
    event = InProcessTestSupervisor.run_trigger_in_process(trigger=trigger, ti=ti)
    return str(getattr(event, "task_instance_state", event.payload))

def hiccup(*_, real=airflow_triggers.is_over):
    airflow_triggers.is_over = real
    raise AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR))

airflow_triggers.is_over = hiccup  # Airflow's server is away for a moment
told["triggered"] = {name: triggered(name) for name in ("a", "bad", "stale", "dbtorch-assets")}

# somebody mends a step and clears its task, and what is behind it
Path("mended").touch()
with create_session() as session:
    names = ["once", "then"]
    found = session.query(TaskInstance).filter(
        TaskInstance.run_id == run.run_id, TaskInstance.task_id.in_(names)).all()
    clear_task_instances(found, session)
for name in names:
    with create_session() as session:
        ti = session.query(TaskInstance).filter_by(run_id=run.run_id, task_id=name).one()
        ti.try_number += 1
        ti.state = TaskInstanceState.SCHEDULED
        session.commit()
        _run_task(ti=ti, task=daily.get_task(name))
        session.merge(ti)
told["again"], told["built again"] = ends(), built()
print("TOLD" + json.dumps(told))
"""


def test_a_dag_ends_as_the_run_does(workspace: Workspace) -> None:
    workspace.write(FILES)
    folder = str(workspace.dir / "dags")
    told = AIRFLOW_3.told(workspace, SCRIPT, AIRFLOW__CORE__DAGS_FOLDER=folder)

    assert told["of dbt"] == []
    assert told["schedule"] == ["0 6 * * *", "Europe/Berlin", False]
    assert told["refused"].startswith("pipeline closed leaves out days or hours")
    assert told["flaky"] == ["data-eng", "**step flaky**\n\nRunbook: docs/flaky.md"]
    assert told["rules"] == ["all_success", "none_failed"]
    assert told["group"] == ["marts", "marts"]
    assert len({*told["groups"]}) == 4
    assert told["every"] == [
        "0 5,11,17,23 * * *",
        900,
        "pipeline p runs every 7h from 1969-12-31 18:30 UTC on, which Airflow's timetables cannot;"
        " give dbtorch_dag a schedule= of your own",
    ]
    assert all(re.fullmatch(r"[\w-]+", name) for name in told["groups"])
    assert told["before"] == {
        "a": ["ingest"],
        "b": ["a", "not_null_a_id"],
        "after_c": ["accepted_values_c_id__3", "c"],
        "then": ["once"],
        "dbtorch-run": [],
        "dbtorch-assets": [],
    }
    ours = {"dbtorch-run", "dbtorch-assets"}
    tests = {"not_null_a_id", "accepted_values_b_id__2", "accepted_values_c_id__3"}
    assert set(told["tasks"]["model_with_tests"]) == ENDS.keys() - tests | ours
    assert set(told["tasks"]["pipeline"]) == ours

    # the same ends, attempts and warehouse as by `dbtorch run`
    assert {name: told["ends"].pop(name) for name in ours} == {
        "dbtorch-run": "failed",
        "dbtorch-assets": "success",
    }
    assert told["ends"] == {name: SHOWN.get(state, state) for name, (state, _) in ENDS.items()}
    assert told["state"] == "failed"
    assert told["built"] == ["model.shop.a", "model.shop.b", "model.shop.c"]
    first = workspace.show(told["run"])
    assert [first.said["data_interval_start"], first.said["data_interval_end"]] == told["interval"]
    assert told["triggered"] == {
        "a": "success",
        "bad": "failed",
        "stale": "skipped",
        "dbtorch-assets": "{'next': 'again'}",
    }

    # the run goes on with what was cleared, and with nothing else
    assert told["again"] | dict.fromkeys(ours, "") == told["ends"] | dict.fromkeys(ours, "") | {
        "once": "success",
        "then": "success",
    }
    assert told["built again"] == told["built"]
    again = dict(ENDS, once=("success", 2), then=("success", 1))
    left = seen(workspace, told["run"])
    assert (left.ends, left.warehouse) == (again, EXPECTED.warehouse)
