"""The lock of a run is what it writes to: targets side by side, and who waits for whom."""

from __future__ import annotations

from tests.acceptance.workspace import Workspace

PROFILES = """
    shop:
      target: dev
      outputs:
        dev: {type: duckdb, path: warehouse.duckdb}
        other: {type: duckdb, path: other.duckdb}
"""

#: A step that goes on when its target's file is there, and says where it was.
STEPS = """
    steps:
      hold:
        command: "until [ -f go-{{ target.name }} ]; do sleep 0.1; done"
        opens_database: false
"""


def test_a_pipeline_runs_on_two_targets_at_once_and_on_one_target_in_turn(
    workspace: Workspace,
) -> None:
    workspace.write({"profiles.yml": PROFILES, "dbtorch.yml": STEPS})
    workspace.write({"models/one.sql": "select 1 as id", "go-other": ""})
    with workspace.started("run", "--log-format", "json") as first:
        first.wait_for_node("step.hold", "running")
        workspace.dbtorch("run", "--target", "other")  # to its end, while the first one holds
        refused = workspace.refused("run")
        assert "is already being run by" in refused
        assert "wait for it to end with `--wait`" in refused
        with workspace.started("run", "--wait", "10m") as second:
            second.wait_for("waits for ", "which runs shop/default")
            workspace.write({"go-dev": ""})
            assert first.ended().code == 0
            assert second.ended().code == 0
    listed = [(run["target"], run["state"]) for run in workspace.runs()]
    assert listed == [("dev", "success"), ("other", "success"), ("dev", "success")]
