"""A real Dagster in one process: what it shows is what dbtorch's run says, and no more."""

from __future__ import annotations

import shutil
import sys

from tests.acceptance.conftest import PARTIAL_PARSE
from tests.acceptance.workspace import Workspace
from tests.orchestrated import ENDS, FILES, WAREHOUSE, seen
from tests.orchestrators import DAGSTER_1
from tests.waiting import PATIENCE

#: Steps that are done the first time.
DONE_STEPS = ("flaky", "ingest", "old", "push")

#: Another pipeline, with partitions, beside those of the project.
PARTS = """
          parts:
            select: a
            schedule: "0 6 * * *"
            partition: {by: day, start: 2026-01-01, timezone: Europe/Berlin}
          a-b: {select: b, schedule: "0 6 * * *"}
          a_b: {select: b, schedule: "0 6 * * *"}
"""

FLOW = """
import json, os, pathlib, signal, tempfile, threading, time
from datetime import datetime
import dagster as dg
import dbtorch
from dbtorch.integrations.dagster import dbtorch_definitions
from page import defs

project = dbtorch.Project(".")

#: Another project, whose step takes for ever.
OTHER = "../other"

def daily():
    return defs.resolve_job_def("daily")

def told(run, instance):
    events = [log.dagster_event for log in instance.all_logs(run.run_id) if log.dagster_event]
    checks = [e.event_specific_data for e in events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    failures = [e.step_failure_data.user_failure_data for e in events if e.is_step_failure]
    built = [e.materialization for e in events if e.is_step_materialization]
    return {
        "success": run.success,
        "failure": [one and one.description for one in failures],
        "built": sorted("/".join(one.asset_key.path) for one in built),
        "attempts": {"/".join(one.asset_key.path): one.metadata["dbtorch/attempts"].value
                     for one in built if "dbtorch/attempts" in one.metadata},
        "partitions": [one.partition for one in built],
        "checks": sorted(["/".join(one.asset_key.path), one.check_name, one.passed, one.severity.value]
                         for one in checks),
    }

def shown(run):
    found = project.show(f"dagster-{run.run_id}")
    return {
        "nodes": sorted(node.name for node in found.nodes),
        "ends": {node.name: [node.state, len(node.attempts)] for node in found.nodes},
        "pipeline": found.record.pipeline,
        "partition": found.record.partition,
    }

def tick(defs, name, at):
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime.fromisoformat(at), repository_def=defs.get_repository_def()
    )
    found = defs.resolve_schedule_def(name).evaluate_tick(context)
    ours = [{k: v for k, v in one.tags.items() if "dbtorch/" in k} for one in found.run_requests]
    return found.skip_message or [
        [one.partition_key, tags] for one, tags in zip(found.run_requests, ours)
    ]

def main(instance):
    result = {}
    first = daily().execute_in_process(instance=instance, raise_on_error=False)
    result["run"] = f"dagster-{first.run_id}"
    result["first"] = told(first, instance) | shown(first)
    again = dg.execute_job(
        dg.reconstructable(daily),
        instance=instance,
        run_config={"execution": {"config": {"in_process": {}}}},
        tags={"dagster/is_resume_retry": "true"},  # as its pages do
        reexecution_options=dg.ReexecutionOptions.from_failure(first.run_id, instance),
    )
    result["again"] = told(again, instance) | {"run": shown(first)}

    whole = defs.resolve_implicit_global_asset_job_def()
    part = whole.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("b")])
    result["part"] = told(part, instance) | shown(part)

    parts = dbtorch_definitions(".", "parts")
    run = parts.resolve_job_def("parts").execute_in_process(instance=instance, partition_key="2026-01-02")
    result["parts"] = told(run, instance) | shown(run)

    result["jobs"] = len(dbtorch_definitions(".", "a-b", "a_b").get_repository_def().schedule_defs)
    result["ticks"] = [
        tick(defs, "daily_schedule", "2026-03-02T06:00:00+01:00"),
        tick(defs, "closed_schedule", "2026-03-02T00:00:00+00:00"),
        tick(parts, "parts_schedule", "2026-03-02T06:00:00+00:00"),
    ]
    spec = {one.key.path[-1]: one for one in defs.resolve_all_asset_specs()}
    result["specs"] = {
        "flaky": [*spec["flaky"].owners],
        "a": [spec["a"].description, spec["a"].freshness_policy.fail_window.to_timedelta().total_seconds(),
              sorted(spec["a"].tags), [dep.asset_key.path for dep in spec["a"].deps]],
        "partitioned": sorted(one.key.path[-1] for one in parts.resolve_all_asset_specs() if one.partitions_def),
        "none": [one for one in spec if spec[one].partitions_def],
    }
    try:
        dbtorch_definitions(".", select="a")
    except dbtorch.UsageError as error:
        result["refused"] = str(error)
    return result

# how a job ends that is interrupted while a step is at work
def interrupted():
    def interrupt():
        while not pathlib.Path(OTHER, "begun").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
    job = dbtorch_definitions(OTHER).resolve_job_def("default")
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        return str(job.execute_in_process(raise_on_error=False).success)
    except BaseException as error:
        return type(error).__name__

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        print("TOLD" + json.dumps({**main(instance), "interrupted": interrupted()}))
"""


def test_assets_and_checks_say_what_the_run_says(workspace: Workspace) -> None:
    schema = FILES["models/schema.yml"]
    said = "description: What was loaded., "
    assert said in schema
    meta = "config: {tags: [core], meta: {dbtorch: {max_age: 26h}}}, "
    workspace.write(
        {
            **FILES,
            "dbtorch.yml": FILES["dbtorch.yml"].rstrip() + PARTS,
            "models/schema.yml": schema.replace(said, said + meta),
        }
    )
    step = f"{{command: 'touch begun; exec sleep {5 * PATIENCE}', retries: 0}}"
    other = Workspace(
        workspace.dir.with_name("other"),
        {"dbtorch.yml": f"engine: {{python: {sys.executable}}}\nsteps: {{sleeps: {step}}}"},
    )
    shutil.copytree(workspace.dir / PARTIAL_PARSE.parent, other.dir / PARTIAL_PARSE.parent)
    told = DAGSTER_1.told(workspace, FLOW)

    first = told["first"]
    assert {name: tuple(end) for name, end in first["ends"].items()} == ENDS
    assert seen(workspace).warehouse == WAREHOUSE
    assert first["success"] is False
    (failure,) = first["failure"]
    assert failure.startswith(f"run {told['run']}: failed; failed: ")
    failed = {name for name, (state, _) in ENDS.items() if state == "failed"}
    assert set(failure.partition("; failed: ")[2].partition(";")[0].split(", ")) == failed
    assert first["built"] == sorted(
        ["a", "b", "c", "raw/loads", "raw/old", *(f"step/{one}" for one in DONE_STEPS)]
    )
    assert first["attempts"] == {
        **dict.fromkeys("abc", 1),
        **{f"step/{name}": ENDS[name][1] for name in DONE_STEPS},
    }
    assert first["checks"] == [
        ["a", "not_null_a_id", True, "ERROR"],
        ["b", "accepted_values_b_id__2", False, "WARN"],
        ["c", "accepted_values_c_id__3", False, "ERROR"],
        ["raw/old", "freshness", False, "ERROR"],
    ]

    # from its failure on it is the same run: what was done is told, and not executed again
    again = told["again"]
    assert again["success"] is False
    assert again["built"] == sorted([*first["built"], "step/once", "step/then"])
    twice = {name for name, (_, tries) in again["run"]["ends"].items() if tries == 2}
    assert twice == {"flaky", "once", *failed, "old", "raw.old"}  # the stale source is filled anew

    part = told["part"]
    assert (part["success"], part["pipeline"]) == (True, "default")
    assert part["nodes"] == ["accepted_values_b_id__2", "b"]
    assert part["built"] == ["b"]

    parts = told["parts"]
    assert (parts["success"], parts["pipeline"], parts["partition"]) == (
        True,
        "parts",
        "2026-01-02",
    )
    assert parts["built"] == ["a"]
    assert parts["partitions"] == ["2026-01-02"]

    daily, closed, of_parts = told["ticks"]
    assert daily == [
        [
            None,
            {
                "dbtorch/pipeline": "daily",
                "dbtorch/logical_date": "2026-03-01T05:00:00+00:00",
            },
        ]
    ]
    assert closed == "dbtorch.yml: pipeline closed does not run at this time"
    assert [of_parts[0][0], of_parts[0][1]["dbtorch/partition"]] == ["2026-03-01", "2026-03-01"]
    assert told["specs"] == {
        "flaky": ["team:data-eng"],
        "a": [
            "What was loaded.",
            26 * 3600,
            ["core", "dagster/kind/dbt", "dagster/kind/view"],
            [["raw", "loads"]],
        ],
        "partitioned": ["a", "loads"],
        "none": [],
    }
    assert told["jobs"] == 2
    assert told["refused"].startswith("select is no option here")

    assert told["interrupted"] != "True"
    shown = other.show()
    assert shown.state == "cancelled"
    assert shown.states["sleeps"] == "cancelled"
