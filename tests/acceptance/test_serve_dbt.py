"""`dbtorch serve` with a real dbt: runs that meet, and a pipeline whose definition is broken."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timedelta

from tests.acceptance.workspace import Workspace

PIPELINES = """
    pipelines:
      newest:
        schedule: {{every: 15s, overlap: {overlap}}}
        deadline: 1h
      broken:
        schedule: {{every: 15s, except: days.txt}}
    steps:
      wait: {{command: "until [ -e go ]; do sleep 0.1; done", opens_database: false}}
"""


def test_a_newer_time_ends_the_run_that_goes_on_and_a_broken_pipeline_hurts_no_other(
    workspace: Workspace,
) -> None:
    workspace.write(
        {
            "models/orders.sql": "select 1 as id",
            "days.txt": "2026-12-25\nBoxing Day\n",
            "dbtorch.yml": PIPELINES.format(overlap="cancel_running"),
        }
    )
    with workspace.started("serve", "--no-http") as serve:
        broken = json.loads(serve.wait_for('"pipeline_broken"'))
        assert broken["pipeline"] == "broken"
        assert "days.txt, which a schedule excepts, cannot be read: line 2" in broken["message"]
        serve.wait_for_node("step.wait")
        first = json.loads(serve.wait_for('"run_finished"'))
        assert (first["state"], first["pipeline"]) == ("cancelled", "newest")
        # what comes next is not cancelled, however busy this machine is
        workspace.write({"go": "", "dbtorch.yml": PIPELINES.format(overlap="queue_one")})
        serve.wait_for('"reloaded"')
        second = json.loads(serve.wait_for('"run_finished"', '"state": "success"'))
        serve.signal(signal.SIGTERM)
        assert serve.ended().code == 0
    assert workspace.query("select id from orders") == [(1,)]
    past = workspace.dbtorch("schedule", "--past", "--format", "json", "--count", "1000").json()
    ran = {tick["run_id"]: tick for tick in past if tick["run_id"]}
    assert {tick["pipeline"] for tick in past} == {"newest"}
    one, other = ran[first["run_id"]], ran[second["run_id"]]
    assert one["scheduled_for"] < other["scheduled_for"]
    shown = workspace.show(first["run_id"])
    assert shown.state == "cancelled"
    (asked,) = [one for one in shown.said["actions"] if one["action"] == "cancel"]
    assert asked["reason"] == "its pipeline's next run is due (overlap: cancel_running)"
    said = workspace.show(second["run_id"]).said
    due = datetime.fromisoformat(other["scheduled_for"])  # and not when it was started
    assert datetime.fromisoformat(said["deadline"]) == due + timedelta(hours=1)
    assert (one["run_state"], other["run_state"]) == ("cancelled", "success")
    covered = (said["data_interval_start"], said["data_interval_end"])
    assert covered == (other["data_interval_start"], other["data_interval_end"])
