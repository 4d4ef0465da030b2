"""A real flow of a real Prefect: its task runs say what dbtorch's run says."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.acceptance.workspace import Workspace
from tests.environments import Recipe, Unavailable, kept
from tests.pages import PAGES
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: Prefect, and what dbtorch itself needs; dbt is in another environment, as it often is.
PREFECT = Recipe(
    name="prefect",
    requirements=(*PROJECT["optional-dependencies"]["prefect"], *PROJECT["dependencies"]),
)

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
import json, pathlib, time
from prefect import task
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness
import dbtorch
from page import daily, dbtorch_flow, dbtorch_schedules

told = {}
try:
    dbtorch_schedules(".", "closed")
except dbtorch.UsageError as error:
    told["refused"] = str(error)
(often,) = dbtorch_schedules(".", "often")
told["often"] = [often.anchor_date.isoformat(), often.timezone, often.interval.total_seconds()]
told["name"] = dbtorch_flow("R&D", "daily").name
told["schedules"] = [[one.cron, one.timezone] for one in dbtorch_schedules(".", "daily")]
seen = set()

def shown(state, count):
    until = time.monotonic() + 120
    with get_client(sync_client=True) as client:
        while True:  # the server hears of task runs a moment later
            runs = [one for one in client.read_task_runs() if one.id not in seen]
            ended = [one for one in runs if one.state is not None and one.state.is_final()]
            if len(ended) == len(runs) >= count or time.monotonic() > until:
                break
            time.sleep(0.1)
    seen.update(one.id for one in runs)
    names = {one.id: one.name for one in runs}
    run = dbtorch.Project(".").show("latest")
    return {
        "flow": [state.type.value, state.name],
        "failed": state.message.partition("; ")[2],
        "tasks": sorted([one.name, one.state.type.value, one.state.name] for one in runs),
        "after": {one.name: sorted(names[before.id] for before in one.task_inputs["wait_for"])
                  for one in runs if "wait_for" in one.task_inputs},
        "attempts": {node.name: len(node.attempts) for node in run.nodes if node.attempts},
    }

with prefect_test_harness(server_startup_timeout=120):
    told["first"] = shown(daily(return_state=True), 9)

    # a flow run that is tried again goes on with the same run
    pathlib.Path("mended").unlink()
    again = dbtorch_flow(".", "daily", name="it {goes} on", exclude="bad+").with_options(retries=1, retry_delay_seconds=0)
    told["again"] = shown(again(return_state=True), 8)
print("TOLD" + json.dumps(told))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with Prefect."""
    try:
        return kept(PREFECT, lambda folder: None) / "bin" / "python"
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_a_flow_shows_the_run_node_by_node(workspace: Workspace, python: Path) -> None:
    workspace.write(FILES)
    workspace.write({"R&D/dbt_project.yml": "name: rd\nprofile: rd\n"})
    (workspace.dir / "flow.py").write_text(FLOW)
    section = PAGES["docs/python.md"].read_text().partition("\n## Run as a flow of Prefect\n")[2]
    section = section.partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (workspace.dir / "page.py").write_text(example)
    env = {
        **os.environ,
        **workspace.env,
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(workspace.dir / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    done = subprocess.run(
        [python, "flow.py"],
        cwd=workspace.dir,
        env=env,
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("TOLD"))
    told = json.loads(line.removeprefix("TOLD"))

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
