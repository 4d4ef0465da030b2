"""A real flow of a real Prefect: its task runs say what dbtorch's run says."""

import sys

from tests.acceptance.workspace import Workspace
from tests.orchestrators import PREFECT_3

FILES = {
    "dbtorch.yml": f"""
        engine: {{python: {sys.executable}}}
        steps:
          flaky:
            command: 'test -e second || {{ touch second; exit 75; }}'
            retries: 1
            retry_delay: 0.1s
          ingest:
            sql: create schema if not exists raw; create or replace table raw.loads as select 1 as id
            produces: source:raw.loads
            after: [step:flaky]
          once: {{command: 'test -e mended || {{ touch mended; false; }}', after: [b], retries: 0}}
          push: {{command: echo pushed, after: [b]}}
        pipelines:
          daily: {{schedule: {{cron: ["0 6 * * *", "0 18 * * *"], timezone: Europe/Berlin}}}}
          often: {{schedule: {{every: 6h, timezone: Europe/Berlin}}}}
          closed: {{schedule: {{cron: "@daily", blackout: ["22:00-06:00"]}}}}
    """,
    "models/schema.yml": """
        sources: [{name: raw, tables: [{name: loads}]}]
        models: [{name: a, columns: [{name: id, data_tests: [not_null]}]}]
    """,
    "models/a.sql": "select id from {{ source('raw', 'loads') }}",
    "models/b.sql": "select id from {{ ref('a') }}",
    "models/bad.sql": "select nope from {{ ref('a') }}",
    "models/after_bad.sql": "select * from {{ ref('bad') }}",
}

FLOW = """
import json, os, pathlib, socket, threading, time
listening = socket.create_server(("127.0.0.1", 0))
os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.server.api.server import create_app
import uvicorn
import dbtorch
from page import daily, dbtorch_flow, dbtorch_schedules
from tests.waiting import PATIENCE

told = {}

# Prefect's server, in a thread: what both of them import is a third of this test
server = uvicorn.Server(uvicorn.Config(create_app(ephemeral=True), log_level="error"))
serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
serving.start()
while not server.started:
    serving.join(0.05)
    assert serving.is_alive(), "it does not start"

try:
    dbtorch_schedules(".", "closed")
except dbtorch.UsageError as error:
    told["refused"] = str(error)
(often,) = dbtorch_schedules(".", "often")
told["often"] = [often.anchor_date.isoformat(), often.timezone, often.interval.total_seconds()]
told["name"] = dbtorch_flow("R&D", "daily").name
told["schedules"] = [[one.cron, one.timezone] for one in dbtorch_schedules(".", "daily")]

@flow
def last():
    task(lambda: None, name="last", task_run_name="last").submit().wait()

def task_runs():
    # The server hears of task runs by events, in their order, and takes them when it has time.
    last()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with get_client(sync_client=True) as client:
            runs = client.read_task_runs()
        if all(one.state and one.state.is_final() for one in runs) and "last" in {one.name for one in runs}:
            break
        time.sleep(0.2)
    return runs

def attempts():
    run = dbtorch.Project(".").show("latest")
    return {node.name: len(node.attempts) for node in run.nodes if node.attempts}

def shown(state, attempts):
    mine = [one for one in runs if one.flow_run_id == state.state_details.flow_run_id]
    names = {one.id: one.name for one in mine}
    return {
        "flow": [state.type.value, state.name],
        "failed": state.message.partition("; ")[2],
        "tasks": sorted([one.name, one.state.type.value, one.state.name] for one in mine),
        "after": {one.name: sorted(names[before.id] for before in one.task_inputs["wait_for"])
                  for one in mine if "wait_for" in one.task_inputs},
        "attempts": attempts,
    }

first = daily(return_state=True), attempts()

# a flow run that is tried again goes on with the same run
pathlib.Path("mended").unlink()
again = dbtorch_flow(".", "daily", name="it {goes} on", exclude="bad+").with_options(retries=1, retry_delay_seconds=0)
again = again(return_state=True), attempts()

runs = task_runs()
told["first"], told["again"] = shown(*first), shown(*again)
server.should_exit = True
serving.join()
print("TOLD" + json.dumps(told))
"""


def test_a_flow_shows_the_run_node_by_node(workspace: Workspace) -> None:
    workspace.write(FILES)
    workspace.write({"R&D/dbt_project.yml": "name: rd\nprofile: rd\n"})
    told = PREFECT_3.told(workspace, FLOW)

    assert told["schedules"] == [["0 6 * * *", "Europe/Berlin"], ["0 18 * * *", "Europe/Berlin"]]
    assert told["often"] == ["1969-12-31T23:00:00+00:00", "UTC", 21600]
    assert told["name"] == "R-D-daily"
    assert told["refused"].startswith("pipeline closed leaves out days or hours")

    first = told["first"]
    done_, failed = ("COMPLETED", "Completed"), ("FAILED", "Failed")
    assert {name: (kind, state) for name, kind, state in first["tasks"]} == {
        "flaky": done_,
        "ingest": done_,
        "a": done_,
        "not_null_a_id": done_,
        "b": done_,
        "push": done_,
        "once": failed,
        "bad": failed,
        "after_bad": ("CANCELLED", "UpstreamFailed"),
    }
    assert len(first["tasks"]) == 9
    assert first["flow"] == ["FAILED", "Failed"]
    assert {"once", "bad"} == set(first["failed"].removeprefix("failed: ").split(", "))
    assert first["after"]["after_bad"] == ["bad"]
    assert first["after"]["ingest"] == ["flaky"]
    assert first["attempts"]["flaky"] == 2  # one task run, both attempts in its log
    assert first["attempts"]["b"] == 1

    again = told["again"]
    assert again["flow"] == ["COMPLETED", "Completed"]
    assert [one for one in again["tasks"] if one[0] == "once"] == [
        ["once", *done_],
        ["once", *failed],
    ]
    assert len(again["tasks"]) == 8  # what had succeeded is not executed again
    assert again["attempts"].pop("once") == 2
    assert set(again["attempts"].values()) == {1}
