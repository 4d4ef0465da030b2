"""`dbtorch ci` over a real git repository: a branch is built beside production, and compared."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.warehouses import Warehouse
from tests.acceptance.workspace import Done, Workspace
from tests.engines import PROCESS_2, over
from tests.forge_server import TOKEN, forge_server
from tests.sessions import on_postgres
from tests.waiting import eventually

FILES = {
    ".gitignore": "loaded\ntarget\nlogs\n*.duckdb*\n.dbtorch\n",
    "dbtorch.yml": """
        version: 1
        defaults: {retry: {retries: 0}}
        pipelines: {daily: {production: true, target: prod}}
        steps:
          load: {command: "touch loaded", produces: [source:raw.events]}
    """,
    "macros/doubled.sql": "{% macro doubled(a) %}{{ a }} * 2{% endmacro %}",
    "models/stg.sql": "select i as id, i % 7 as a from generate_series(1, 50) as t(i)",
    "models/orders.sql": "select id, a, {{ doubled('a') }} as b from {{ ref('stg') }}",
    "models/kpi.sql": "select count(*) as n from {{ ref('orders') }}",
    "models/events.sql": "select {{ env_var('ROWS', '1') }} as n -- {{ source('raw', 'events') }}",
    "models/schema.yml": """
        sources: [{name: raw, tables: [{name: events}]}]
        groups: [{name: core, owner: {name: Bo}}]
        models:
          - name: kpi
            config: {group: core}
          - name: orders
            config: {materialized: table}
            columns: [{name: id, data_tests: [unique, not_null]}]
        exposures:
          - {name: board, type: dashboard, owner: {name: Ann}, depends_on: [ref('orders')]}
    """,
}

#: What GitHub sets in a job for a pull request.
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REF": "refs/pull/12/merge",
    "GITHUB_BASE_REF": "main",
}


#: Whose the two repositories of a pull request from a fork are.
SIDES = {"head": "bo", "base": "acme"}


class Repository:
    """A clone of a repository, in which somebody has made a branch."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.git("init", "-q", "-b", "main")

    def git(self, *args: str) -> None:
        who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
        subprocess.run(
            ["git", *who, *args], cwd=self.workspace.dir, check=True, capture_output=True
        )

    def commit(self, files: Mapping[str, str] = {}) -> None:
        self.workspace.write(files)
        self.git("add", "-A")
        self.git("commit", "-qm", "a change", "--allow-empty")

    def production(self) -> None:
        """Main is what production was built from, and what a clone knows of it."""
        self.workspace.dbtorch("run", "-p", "daily", "-q")
        self.git("update-ref", "refs/remotes/origin/main", "main")

    def branch(self, files: dict[str, str], *, gone: tuple[str, ...] = ()) -> None:
        self.git("checkout", "-q", "-B", "change", "main")
        for name in gone:
            (self.workspace.dir / name).unlink()
        self.commit(files)

    def ci(self, *args: str, code: int = 0) -> Done:
        return self.workspace.dbtorch("ci", *args, code=code, env=GITHUB)

    def found(self, *args: str, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.ci("--format", "json", *args, code=code).json()
        return found


def profiles(warehouse: Warehouse) -> str:
    ci = {**warehouse.profile, "schema": "ci"}
    outputs = {"ci": ci, "prod": warehouse.profile}
    return f"shop: {{target: ci, outputs: {outputs!r}}}".replace("'", '"')


@pytest.fixture
def repository(workspace: Workspace, warehouse: Warehouse) -> Repository:
    workspace.write({**FILES, "profiles.yml": profiles(warehouse)})
    found = Repository(workspace)
    found.commit()
    found.production()
    return found


def why(found: dict[str, Any]) -> dict[str, str]:
    return {
        one["name"]: " ".join([reason["why"] for reason in one["reasons"]])
        for one in found["changes"]
        if one["kind"] in ("model", "seed")
    }


def test_a_change_is_built_beside_production_and_compared(
    repository: Repository, warehouse: Warehouse, workspace: Workspace
) -> None:
    production = warehouse.profile["schema"]
    started = len(workspace.runs())
    repository.branch(
        {
            "models/orders.sql": "select id, a, a * 3 as b, 1 as c from {{ ref('stg') }} where id <> 7"
        }
    )
    done = repository.ci()
    assert "It works: 5 nodes done in schema ci_pr_12.\n" in done.out
    assert "It changes orders. Other than in production: orders, kpi.\n" in done.out
    assert "It affects 1 node downstream, 1 exposure: board (Ann).\n" in done.out
    assert (
        "49 rows (-1); new: c; 1 removed (id 7); 43 changed (id 1, 2, 3, …); b differs" in done.out
    ), done.out
    assert len(workspace.runs()) == started + 1
    schemas = {
        name: {table for schema, table in tables(warehouse) if schema == name}
        for name in (production, "ci_pr_12")
    }
    assert schemas["ci_pr_12"] == {"dbtorch_ci", "kpi", "orders"}
    assert schemas[production] == {"events", "kpi", "orders", "stg"}
    marker = warehouse.execute("select pr, project from ci_pr_12.dbtorch_ci")
    assert marker == [("12", "shop")]

    # a test that fails, and main has moved on meanwhile, without what the branch is to be told of
    repository.git("checkout", "-q", "main")
    repository.commit({"models/events.sql": "select 2 as n"})
    repository.production()
    repository.git("checkout", "-q", "change")
    repository.commit(
        {"models/orders.sql": "select id - id + 1 as id, a, a * 2 as b from {{ ref('stg') }}"}
    )
    found = repository.found(code=1)
    assert why(found) == {"orders": "body", "kpi": "upstream"}
    assert found["state"] == "failed"
    states = {node["name"]: node["state"] for node in found["nodes"]}
    assert states["unique_orders_id"] == "failed"
    assert states["kpi"] == "upstream_failed"
    (compared,) = found["compared"]  # what was built although its test failed
    assert compared["comparison"]["note"] == (
        "the key (id) is not unique here, so rows are compared as a whole"
    )


def tables(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.execute("select table_schema, table_name from information_schema.tables")


def _of(workspace: Workspace) -> Warehouse:
    profile = {"type": "duckdb", "path": "warehouse.duckdb", "schema": "main", "threads": 4}
    return Warehouse(workspace.query, profile)


def test_what_cannot_be_compared_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write({**FILES, "profiles.yml": profiles(_of(workspace))})
    repository = Repository(workspace)
    repository.commit()
    assert "there is no state of production of pipeline daily at file://" in workspace.refused(
        "ci", env=GITHUB
    )
    event = tmp_path / "event.json"
    sides = {side: {"repo": {"full_name": f"{who}/shop"}} for side, who in SIDES.items()}
    event.write_text(json.dumps({"pull_request": sides}))
    job = {**GITHUB, "GITHUB_EVENT_PATH": str(event)}
    told = "from the fork bo/shop, whose jobs are given no secrets: there is no state of production"
    assert told in workspace.refused("ci", env=job)
    assert told in workspace.dbtorch("ci", "--skip-forks", env=job).err
    workspace.refused("ci", "--skip-forks", env=GITHUB)  # it comes from no fork
    assert "nobody says which pull request this is" in workspace.refused("ci")
    assert "there is no pipeline 'nightly'" in workspace.refused(
        "ci", "--pr", "1", "--state-from", "pipeline:nightly"
    )
    assert "names one schema for all pull requests" in workspace.refused(
        "ci", "--pr", "1", "--schema", "ci"
    )
    everything = ("--no-state", "full", "--empty", "--exclude", "events")
    whole = repository.ci(*everything, "--max-duration", "1h")
    assert "nobody knows how long it takes, so --max-duration refuses nothing" in whole.err
    assert "no state of production is used: everything is built" in whole.err
    assert "built without rows (--empty)" in whole.err
    assert workspace.query("select count(*) from ci_pr_12.orders") == [(0,)]

    repository.production()
    repository.branch({"models/kpi.sql": "select 1 as n"})
    old = workspace.refused("ci", "--max-state-age", "0.001s", env=GITHUB)
    assert "which is older than --max-state-age" in old
    slow = workspace.refused("ci", "--max-duration", "0.001s", env=GITHUB)
    assert "by what production took, which is more than --max-duration" in slow
    repository.branch(
        {
            "models/kpi.sql": "{{ config(schema='main') }} select 1 as n",
            "macros/names.sql": """
                {% macro generate_schema_name(name, node) %}
                  {{- name or target.schema -}}
                {% endmacro %}
            """,
        }
    )
    taken = workspace.refused("ci", env=GITHUB)
    assert 'kpi would be built as "warehouse"."main"."kpi", which is production\'s' in taken
    workspace.write({"models/kpi.sql": "{{ config(schema='apart') }} select 1 as n"})
    # the first of a chain starts before what nothing waits for
    chain = {f"models/a{n}.sql": f"select 1 from {{{{ ref('a{n - 1}') }}}}" for n in (1, 2)}
    workspace.write({**chain, "models/a0.sql": "select nothing", "models/free.sql": "select 1"})
    apart = repository.ci("--empty", "--fail-fast", "--threads", "1", code=1)
    assert "schema apart does not begin with ci_pr_12, so no cleanup finds it" in apart.err
    assert "It does not work: a0 failed; 4 nodes did not run." in apart.out


def test_schemas_of_pull_requests_are_dropped_and_no_others(
    repository: Repository, warehouse: Warehouse, workspace: Workspace
) -> None:
    repository.branch({"models/kpi.sql": "select 1 as n"})
    repository.ci("--no-compare")
    warehouse.execute("create schema ci_pr_120")  # somebody's own, of the same name
    warehouse.execute("create table ci_pr_120.precious as select 1 as id")
    other = repository.ci("--pr", "120", "--no-compare")
    assert "schema ci_pr_120 holds what somebody else has made" in other.err

    listed = workspace.dbtorch("ci", "cleanup").out
    assert "nothing was asked to be dropped" in listed
    assert "it has no table dbtorch_ci, so dbtorch has not made it" in listed
    new = workspace.dbtorch("ci", "cleanup", "--older-than", "1h", "--yes").out
    assert "dropped" not in new
    tried = workspace.dbtorch("ci", "cleanup", "--pr", "12", "--pr", "120").out
    assert "1 schema would be dropped: say so with --yes" in tried
    assert {schema for schema, _ in tables(warehouse)} >= {"ci_pr_12", "ci_pr_120"}

    wanted = ("ci", "cleanup", "--closed", "--older-than", "0.001s", "--yes")
    assert "--closed cannot ask which pull requests are open" in workspace.refused(*wanted)
    with forge_server() as server:
        job = {**GITHUB, "GITHUB_API_URL": server.url, "GITHUB_REPOSITORY": "acme/shop"}
        job["GITHUB_TOKEN"] = TOKEN
        unknown = workspace.dbtorch(*wanted, env=job).out
        assert "nobody knows whether pull request 12 is open: GitHub answers 404" in unknown
        server.pulls = {"12": "open"}
        assert "pull request 12 is open" in workspace.dbtorch(*wanted, env=job).out
        server.pulls = {"12": "closed"}
        workspace.dbtorch(*wanted, env=job)
    left = {schema for schema, _ in tables(warehouse)}
    assert "ci_pr_12" not in left
    assert {"ci_pr_120", warehouse.profile["schema"]} <= left


@over(PROCESS_2)
def test_dbt_2_is_asked_what_the_project_is_now(workspace: Workspace) -> None:
    """It reads the project into a folder of its own, and not into the one of earlier runs."""
    workspace.write(
        {
            "dbtorch.yml": "pipelines: {daily: {production: true, target: prod}}",
            "profiles.yml": profiles(_of(workspace)),
            "models/kpi.sql": "{{ config(schema='marts') }} select 1 as n",
            "models/other.sql": "select 1 as n",
        }
    )
    workspace.dbtorch("run", "-p", "daily", "-q")
    workspace.write({"models/kpi.sql": "{{ config(schema='marts') }} select 2 as n"})
    found = workspace.dbtorch("ci", "--pr", "7", "--format", "json").json()
    assert why(found) == {"kpi": "body"}
    names = "{% macro generate_schema_name(name, node) %}main{% if name %}_{{ name }}{% endif %}{% endmacro %}"
    workspace.write({"macros/names.sql": names})
    refused = workspace.refused("ci", "--pr", "7")
    assert 'kpi would be built as "warehouse"."main_marts"."kpi", which is production' in refused
    assert workspace.query("select n from main_marts.kpi") == [(1,)]


def test_a_window_of_event_time_is_all_that_is_built(workspace: Workspace) -> None:
    hourly = "select i as id, now()::timestamp - to_hours(i) as happened from range(100) as t(i)"
    described = """
        models:
          - {name: stg, config: {event_time: happened}}
          - {name: orders, config: {materialized: table, event_time: happened}}
    """
    workspace.write(
        {
            "dbtorch.yml": "pipelines: {daily: {production: true, target: prod}}",
            "profiles.yml": profiles(_of(workspace)),
            "models/stg.sql": hourly,
            "models/orders.sql": "select * from {{ ref('stg') }}",
            "models/schema.yml": described,
        }
    )
    workspace.dbtorch("run", "-p", "daily", "-q")
    workspace.write({"models/orders.sql": "select *, 1 as one from {{ ref('stg') }}"})
    done = workspace.dbtorch("ci", "--pr", "7", "--limit-event-time", "1d")
    assert "It works: 1 node done in schema ci_pr_7." in done.out
    assert "built from the last 1d alone, so nothing is compared" in done.err
    ((count,),) = workspace.query("select count(*) from ci_pr_7.orders")
    assert 23 <= count <= 25
    refused = workspace.refused("ci", "--pr", "7", "--limit-event-time", "90s")
    assert "a number of hours or days" in refused


@pytest.mark.postgres
def test_a_new_commit_cancels_the_run_of_an_earlier_one(
    workspace: Workspace, postgres_database: str
) -> None:
    schema = f"shop_{uuid4().hex[:8]}"
    profile = {**on_postgres(postgres_database), "schema": schema, "threads": 2}
    workspace.write(
        {
            "dbtorch.yml": "pipelines: {daily: {production: true, target: prod}}",
            "profiles.yml": profiles(Warehouse(workspace.query, profile)),
            "models/kpi.sql": "select 1 as n",
        }
    )
    workspace.dbtorch("run", "-p", "daily", "-q")
    workspace.write(
        {"models/kpi.sql": "{{ config(materialized='table') }} select 2 as n, pg_sleep(600)::text"}
    )
    pr = f"p{schema}"
    with workspace.started("ci", "--pr", pr) as earlier:
        assert eventually(lambda: any(run["state"] == "running" for run in workspace.runs()))
        workspace.write({"models/kpi.sql": "select 3 as n"})
        done = workspace.dbtorch("ci", "--pr", pr)
        ended = earlier.ended()
    assert "of an earlier commit of this pull request" in done.err
    assert "It works: 1 node done" in done.out
    assert ended.code == 1
    assert "a newer commit of the pull request" in ended.out
    assert "It is not done: the run is cancelled, and 1 node did not run." in ended.out
