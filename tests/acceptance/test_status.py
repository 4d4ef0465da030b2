"""How a project stands, over one gated run and a good one: text, JSON, exit codes, alerts."""

from __future__ import annotations

import duckdb

from tests.acceptance.workspace import Workspace
from tests.slack_server import TOKEN, Slack, slack_server

FILES = {
    "models/stg_orders.sql": "select * from {{ source('raw', 'orders') }}",
    "models/fct_orders.sql": "select * from {{ ref('stg_orders') }}",
    "models/fct_visits.sql": "select 1 as id",
    "models/schema.yml": """
        sources:
          - name: raw
            schema: main
            tables:
              - name: orders
                config:
                  loaded_at_field: loaded_at
                  freshness: {error_after: {count: 24, period: hour}}
        models:
          - name: fct_orders
            config: {meta: {dbtorch: {max_age: 1d, owner: ana@example.com}}}
    """,
}


def configure(shop: Workspace, server: Slack, *, max_age: str = "1d", every: str = "") -> None:
    shop.write(
        {
            "dbtorch.yml": f"""
                defaults: {{{every}}}
                freshness: {{default: {{on_stale: skip}}}}
                pipelines: {{daily: {{max_age: {max_age}, owner: data-eng}}}}
                alerts: {{targets: "*", slack: {{token: {TOKEN}, channel: C0000DATA, api_url: {server.url}}}}}
            """
        }
    )


def load(shop: Workspace, hours: int) -> None:
    with duckdb.connect(str(shop.dir / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            "create or replace table orders as "
            f"select 1 as id, now()::timestamp - interval {hours} hour as loaded_at"
        )


def health(shop: Workspace, *args: str, code: int) -> dict[str, str]:
    said = shop.dbtorch("status", "--format", "json", *args, code=code).json()
    assert said["healthy"] is (code == 0)
    found = [*said["pipelines"], *said["sources"], *said["nodes"]]
    return {item["name"]: item["health"] for item in found}


def test_a_project_over_a_gated_run_and_a_good_one(workspace: Workspace) -> None:
    with slack_server() as server:
        workspace.write(FILES)
        configure(workspace, server)
        assert "no run history yet" in workspace.refused("status")
        load(workspace, hours=31)
        workspace.dbtorch("run", "-p", "daily", code=3)
        stale = {"daily": "stale", "raw.orders": "stale", "fct_orders": "stale", "fct_visits": "ok"}
        assert health(workspace, code=3) == stale
        text = workspace.dbtorch("status", code=3).out
        assert ": 3 stale, 1 ok" in text
        (line,) = [line for line in text.splitlines() if line.startswith("source raw.orders")]
        assert "source raw.orders is stale: 31 h, allowed 24 h" in line
        assert "no run of it succeeded yet; run" in text
        assert "was gated: what waits for its sources did not run" in text
        (card,) = server.top_level()  # the gate of the run has told of the source
        (reply,) = server.thread(card["ts"])
        assert "source raw.orders is stale" in reply["text"]

        told = workspace.dbtorch("status", "--alert", code=3)
        assert "alerts sent about 2 items" in told.err
        assert "alerts sent about 0 items" in workspace.dbtorch("status", "--alert", code=3).err
        (_, pipeline, note) = server.top_level()
        assert "pipeline daily is stale" in pipeline["text"]
        assert "model fct_orders is stale" in note["text"]
        assert "<@U0000ANA>" in note["text"]

        load(workspace, hours=1)
        # nobody has looked since; whoever asks dbt knows better
        assert health(workspace, code=3) == stale
        assert health(workspace, "--check", code=3) == {**stale, "raw.orders": "ok"}
        workspace.dbtorch("run", "-p", "daily")
        assert health(workspace, "--alert", code=0) == dict.fromkeys(stale, "ok")
        last = server.top_level()[-1]
        assert "model fct_orders works again" in last["text"]
        assert "<@" not in last["text"]
        assert "source raw.orders works again" in server.thread(card["ts"])[-1]["text"]
        assert "all ok" in workspace.dbtorch("status").out

        configure(workspace, server, every="max_age: 0.01s")
        # every model may be so old, one says better for itself
        everything = {**dict.fromkeys(stale, "ok"), "fct_visits": "stale", "stg_orders": "stale"}
        assert health(workspace, code=3) == everything

        (workspace.dir / "target" / "manifest.json").unlink()
        configure(workspace, server, max_age="0.01s")
        assert health(workspace, code=3) == {"daily": "stale", "raw.orders": "ok",
                                             "stg_orders": "ok", "fct_orders": "ok",
                                             "fct_visits": "ok"}  # fmt: skip


BY_TARGET = """
    select 1 as id {% if target.name == 'prod' and env_var('MENDED', '') != 'yes' %}, no_such {% endif %}
"""


def test_each_target_stands_for_itself_and_a_part_for_no_pipeline(workspace: Workspace) -> None:
    workspace.write(
        {
            "models/good.sql": "select 1 as id",
            "models/bad.sql": BY_TARGET,
            "profiles.yml": """
                shop:
                  target: dev
                  outputs:
                    dev: {type: duckdb, path: warehouse.duckdb}
                    prod: {type: duckdb, path: prod.duckdb}
            """,
        }
    )
    workspace.dbtorch("run", "-t", "prod", code=1)
    workspace.dbtorch("run", "-t", "dev")
    assert "on target dev: all ok" in workspace.dbtorch("status").out
    failed = {"default": "failed", "bad": "failed", "good": "ok"}
    assert health(workspace, "--target", "prod", code=3) == failed

    nobody = workspace.dbtorch("status", "--target", "nowhere", code=3).out
    assert "Nothing has been run on target nowhere yet" in nobody
    assert "all ok" not in nobody

    done = workspace.dbtorch("run", "-t", "prod", "-s", "good", "--log-format", "json")
    assert [event["partial"] for event in done.events("run_finished")] == [True]
    assert health(workspace, "--target", "prod", code=3) == failed
    assert "of a part only" in workspace.dbtorch("status", "--target", "prod", code=3).out
    assert "default (part)" in workspace.dbtorch("runs").out
    assert [run["partial"] for run in workspace.runs()] == [True, False, False]
    assert "default (a part of it)" in workspace.dbtorch("show").out

    mended = {"MENDED": "yes"}
    done = workspace.dbtorch("run", "-t", "prod", "-s", "bad", env=mended)
    assert "of a part of the pipeline succeeded" in done.out
    assert health(workspace, "--target", "prod", code=3) == {**failed, "bad": "ok"}
    workspace.dbtorch("run", "-t", "prod", env=mended)
    assert health(workspace, "--target", "prod", code=0) == dict.fromkeys(failed, "ok")
    # what fails in a run of a part has failed, whatever became of the pipeline before
    workspace.dbtorch("run", "-t", "prod", "-s", "bad", code=1)
    assert health(workspace, "--target", "prod", code=3) == {**failed, "default": "ok"}


def test_what_says_nothing_is_refused(workspace: Workspace) -> None:
    workspace.write({"models/a.sql": "select 1 as id"})
    assert "so --alert tells nobody" in workspace.refused("status", "--alert")
    workspace.write({"dbtorch.yml": "pipelines: {default: {max_age: old}}"})
    said = workspace.refused("status")
    assert "dbtorch.yml:1: pipelines.default.max_age" in said
