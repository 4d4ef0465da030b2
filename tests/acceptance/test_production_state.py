"""A production pipeline publishes its state when it has succeeded, and only then."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.workspace import Workspace

FILES = {
    "dbtorch.yml": """
        version: 1
        defaults: {retry: {retries: 0}}
        pipelines: {daily: {production: true, target: prod}}
    """,
    "profiles.yml": """
        shop:
          target: dev
          outputs:
            dev: {type: duckdb, path: warehouse.duckdb, schema: dev}
            prod: {type: duckdb, path: warehouse.duckdb}
    """,
    "models/orders.sql": "select {{ env_var('ROWS', '1') }} as id",
}

PUBLISHED = "published the state of production: "


def states(workspace: Workspace) -> Path:
    return workspace.dir / ".dbtorch" / "state" / "daily"


def test_a_production_run_publishes_its_state(workspace: Workspace) -> None:
    workspace.write(FILES)
    elsewhere = workspace.dbtorch("run", "-p", "daily", "-t", "dev")
    assert "this run was on target dev, and production is prod" in elsewhere.all
    part = workspace.dbtorch("run", "-p", "daily", "-s", "orders")
    assert "this run was of a part of the pipeline" in part.all
    failed = workspace.dbtorch("run", "-p", "daily", code=1, env={"ROWS": "nonsense"})
    assert "the state of production" not in failed.all
    assert not states(workspace).exists()

    retried = workspace.dbtorch("retry")
    assert PUBLISHED in retried.all
    state = json.loads((states(workspace) / "latest" / "state.json").read_text())
    assert state["run_id"] == workspace.show().id
    assert state["target"] == "prod"
    folder = states(workspace) / state["name"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["nodes"]["model.shop.orders"]["schema"] == "main"
    results = json.loads((folder / "run_results.json").read_text())["results"]
    assert [one["status"] for one in results] == ["success"]


def test_a_state_that_cannot_be_published_is_a_warning(workspace: Workspace) -> None:
    workspace.write(FILES)
    (workspace.dir / ".dbtorch").mkdir()
    (workspace.dir / ".dbtorch" / "state").write_text("a file")
    run = workspace.dbtorch("run", "-p", "daily")
    assert "the state of production is not published: " in run.all
