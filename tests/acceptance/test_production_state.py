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


def test_a_merge_builds_what_changed_in_production_and_publishes(workspace: Workspace) -> None:
    merged = {
        "models/kpi.sql": "select count(*) as n from {{ ref('orders') }}",
        "models/rates.sql": "select 1 as rate",
        "models/events.sql": "select 1 as one -- {{ source('raw', 'events') }}",
        "models/sources.yml": "sources: [{name: raw, tables: [{name: events}]}]",
    }
    steps = "steps: {load: {command: touch loaded, produces: [source:raw.events]}}"
    workspace.write({**FILES, **merged, "dbtorch.yml": FILES["dbtorch.yml"] + f"    {steps}"})
    assert "there is no state of production" in workspace.refused("ci", "--merge")
    part = workspace.dbtorch("ci", "--merge", "--no-state", "full", "--exclude", "rates")
    assert "this run was of a part of the pipeline" in part.all
    first = workspace.dbtorch("ci", "--merge", "--no-state", "full")
    assert PUBLISHED in first.all
    pointer = states(workspace) / "latest" / "state.json"
    before = json.loads(pointer.read_text())
    (workspace.dir / "loaded").unlink()

    # a failure moves nothing
    workspace.write({"models/orders.sql": "select {{ env_var('ROWS', '2') }} as id"})
    workspace.dbtorch("ci", "--merge", code=1, env={"ROWS": "nonsense"})
    assert json.loads(pointer.read_text()) == before
    done = workspace.dbtorch("ci", "--merge")
    assert workspace.query("select id from main.orders") == [(2,)]
    assert models(workspace) == {"orders", "kpi"}
    assert not (workspace.dir / "loaded").exists()
    assert PUBLISHED in done.all
    state = json.loads(pointer.read_text())
    assert state["run_id"] == workspace.show().id
    results = json.loads((states(workspace) / state["name"] / "run_results.json").read_text())
    names = [one["unique_id"].rpartition(".")[2] for one in results["results"]]
    assert sorted(names) == ["events", "kpi", "orders", "rates"]

    # a step that changed is executed, and what reads it is built
    told = (workspace.dir / "dbtorch.yml").read_text()
    workspace.write({"dbtorch.yml": told.replace("touch loaded", "touch loaded again")})
    workspace.dbtorch("ci", "--merge")
    assert (workspace.dir / "again").exists()
    assert models(workspace) == {"events"}
    nothing = workspace.dbtorch("ci", "--merge")
    assert "the selection matches no nodes; nothing was run" in nothing.all
    refused = workspace.refused("ci", "--merge", "--pr", "12")
    assert "--pr and --merge do not go together" in refused


def models(workspace: Workspace) -> set[str]:
    """What the latest run has built."""
    return {name for name, node in workspace.show().nodes.items() if node["kind"] == "model"}
