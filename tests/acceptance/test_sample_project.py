"""`sample_project/` as the README runs it: twice, on DuckDB and on Postgres."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from dbtorch.adapters.config.loading import load
from dbtorch.core.model.deadline import DeadlineRule
from tests.acceptance.workspace import Done, Shown, Workspace
from tests.postgres import with_database

ROOT = Path(__file__).parents[2]

#: What a checkout does not have.
GENERATED = shutil.ignore_patterns(
    "target", "logs", "exports", ".dbtorch", "__pycache__", "*.duckdb*", ".user.yml"
)

SHOP_SOURCES = ("orders", "order_items", "customers", "payments", "web_events")
SOURCES = (*SHOP_SOURCES, "exchange_rates")

#: The shape that other programs rely on: key -> types.
RUN_SHAPE = {
    "run_id": str,
    "pipeline": str,
    "logical_date": str,
    "state": str,
    "started_at": str,
    "finished_at": str,
    "nodes": list,
}
NODE_SHAPE = {
    "id": str,
    "kind": str,
    "state": str,
    "reason": (str, type(None)),
    "attempts": list,
}
ATTEMPT_SHAPE = {
    "number": int,
    "state": str,
    "started_at": (str, type(None)),
    "finished_at": (str, type(None)),
    "failure_class": (str, type(None)),
    "message": (str, type(None)),
}

Query = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The sample project after two runs."""

    workspace: Workspace
    query: Query
    first: Done
    second: Done
    first_run: Shown
    second_run: Shown
    first_rows: dict[str, int]
    second_rows: dict[str, int]


#: A plan is the same on both.
on_duckdb = pytest.mark.parametrize("shop", ["duckdb"], indirect=True)


def planned_of(shop: Shop, pipeline: str) -> set[str]:
    """Ids of what a pipeline would run."""
    command = ("plan", "--project-dir", "sample_project", "-p", pipeline, "--format", "json")
    return {node["id"] for node in shop.workspace.dbtorch(*command).json()["nodes"]}


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A copy, and what two runs of it came to."""
    folder = tmp_path_factory.mktemp("sample")
    for name in ("sample_project", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=GENERATED)
    workspace = Workspace(folder, bare=True)
    if request.param == "duckdb":
        yield _run_twice(workspace, _duckdb(folder / "warehouse.duckdb"))
        return
    with _postgres(request.getfixturevalue("postgres_server")) as url:
        said = conninfo_to_dict(url)
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
        workspace.env.update({names[k]: str(said[k]) for k in names if said.get(k)})
        workspace.env["PGDATABASE"] = str(said["dbname"])
        workspace.env["DBT_TARGET"] = "postgres"
        workspace.env["DBTORCH_DATABASE_URL"] = url  # the history goes there as well
        yield _run_twice(workspace, lambda sql: _ask(url, sql))


def test_it_is_green_twice_and_says_what_to_look_at_next(shop: Shop) -> None:
    for done, run in ((shop.first, shop.first_run), (shop.second, shop.second_run)):
        assert f"Run {run.id} succeeded in " in done.out
        assert (
            "What to look at next\n  dbtorch show latest --project-dir sample_project" in done.out
        )
        assert not done.err
        assert run.state == "success"
        assert not run.names("failed") | run.names("upstream_failed") | run.names("cancelled")


def test_the_flaky_step_shows_a_retry(shop: Shop) -> None:
    for done, run in ((shop.first, shop.first_run), (shop.second, shop.second_run)):
        retried = [line for line in done.out.splitlines() if "  RETRY  " in line]
        assert len(retried) == 1
        assert "step ingest_exchange_rates" in retried[0]
        assert "429 Too Many Requests" in retried[0]
        assert "Succeeded after a retry: step ingest_exchange_rates (attempt 2)" in done.out
        tries = run.nodes["ingest_exchange_rates"]["attempts"]
        assert [one["state"] for one in tries] == ["failed", "success"]
        assert tries[0]["failure_class"] == "transient"


def test_warnings_are_no_failures(shop: Shop) -> None:
    assert shop.first_run.names("warn") == {
        "assert_delivered_orders_are_paid",
        "not_null_stg_shop__customers_email",
    }
    assert "WARN  test assert_delivered_orders_are_paid" in shop.first.out


def test_checks_look_at_rows_and_columns_and_compare_with_the_run_before(shop: Shop) -> None:
    said = []
    for run in (shop.first_run, shop.second_run):
        checks = {node["id"]: node["checks"] for node in run.said["nodes"] if "checks" in node}
        (rows,) = checks["check.model.shop.fct_orders"]
        (columns,) = checks["check.source.shop.shop.orders"]
        assert {rows["status"], columns["status"]} == {"ok"}
        assert rows["message"].startswith(f"{shop.first_rows['shop.fct_orders']} rows")
        said.append(columns["message"])
    assert said[0].endswith("nothing to compare with yet")
    assert said[1].endswith("as before")


def test_the_status_says_how_old_the_kpis_are(shop: Shop) -> None:
    command = ("status", "--project-dir", "sample_project", "--format", "json")
    nodes = shop.workspace.dbtorch(*command).json()["nodes"]
    (kpis,) = [node for node in nodes if node["name"] == "fct_weekly_kpis"]
    assert (kpis["health"], kpis["allowed_seconds"]) == ("ok", 26 * 3600)


@on_duckdb
def test_the_daily_pipeline_lands_what_it_builds_and_has_a_deadline(shop: Shop) -> None:
    assert planned_of(shop, "daily") == {
        node["id"] for node in shop.second_run.said["nodes"] if node["kind"] != "operation"
    }
    spec = load(ROOT / "sample_project").pipelines["daily"]
    assert spec.deadline == DeadlineRule(by=time(8))


@on_duckdb
def test_every_pipeline_builds_what_its_tests_read(shop: Shop) -> None:
    """Each works on an empty warehouse: dbt's tests come along if one model of theirs is chosen."""
    manifest = json.loads(next(shop.workspace.dir.rglob("target/manifest.json")).read_text())
    planned = planned_of(shop, "web_traffic")
    assert "model.shop.fct_web_sessions" in planned
    read = {
        node["unique_id"]: {
            id
            for id in node["depends_on"]["nodes"]
            if manifest["nodes"].get(id, {}).get("config", {}).get("materialized") != "ephemeral"
        }
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and node["unique_id"] in planned
    }
    built = planned | manifest["sources"].keys()
    assert read
    assert {id: models - built for id, models in read.items() if models - built} == {}


def test_the_dashboard_is_skipped_with_its_reason_when_no_url_is_set(shop: Shop) -> None:
    node = shop.first_run.nodes["refresh_dashboard"]
    assert node["state"] == "skipped"
    assert "BI_URL" in node["reason"]


def test_a_second_run_adds_no_rows(shop: Shop) -> None:
    assert {f"raw.{name}" for name in SOURCES} <= shop.first_rows.keys()
    assert all(shop.first_rows[f"raw.{name}"] > 0 for name in SOURCES)
    assert shop.second_rows == shop.first_rows


def test_rows_of_every_table_are_known(shop: Shop) -> None:
    there = {name.partition(".")[2]: rows for name, rows in shop.first_rows.items()}
    built = ("table", "incremental", "seed", "snapshot")
    nodes = [node for node in shop.first_run.said["nodes"] if node["materialized"] in built]
    assert {node["kind"] for node in nodes} == {"model", "seed", "snapshot"}
    for node in nodes:  # dim_customers.v2 is in dim_customers_v2
        assert node["rows"] == there["_".join(node["id"].split(".")[2:])], node["id"]


def test_outputs_of_steps_are_recorded(shop: Shop) -> None:
    for run, idle in ((shop.first_run, False), (shop.second_run, True)):
        (attempt,) = run.nodes["ingest_orders"]["attempts"]
        assert (attempt["output"]["rows"] == 0) is idle


def test_the_weekly_figures_are_exported_under_the_logical_date(shop: Shop) -> None:
    date = shop.second_run.said["logical_date"][:10]
    exports = shop.workspace.dir / "sample_project" / "exports"
    lines = (exports / date / "weekly_kpis.csv").read_text().splitlines()
    ((count,),) = shop.query("select count(*) from shop.fct_weekly_kpis")
    assert lines[0].startswith("week_start_date,")
    assert len(lines) == count + 1 > 1


def test_hooks_ran_once_a_run(shop: Shop) -> None:
    for run in (shop.first_run, shop.second_run):
        hooks = [node for node in run.said["nodes"] if node["kind"] == "operation"]
        assert [(node["state"], len(node["attempts"])) for node in hooks] == [("success", 1)] * 2


def test_show_has_the_documented_shape(shop: Shop) -> None:
    said = shop.second_run.said
    _has_shape(said, RUN_SHAPE)
    moments = [said["logical_date"], said["started_at"], said["finished_at"]]
    for node in said["nodes"]:
        _has_shape(node, NODE_SHAPE)
        for number, attempt in enumerate(node["attempts"], start=1):
            _has_shape(attempt, ATTEMPT_SHAPE)
            assert attempt["number"] == number
            moments += [attempt["started_at"], attempt["finished_at"]]
    offsets = {datetime.fromisoformat(moment).utcoffset() for moment in moments if moment}
    assert None not in offsets
    assert {node["kind"] for node in said["nodes"]} == {
        *("model", "seed", "snapshot", "test", "unit_test", "exposure", "operation", "step"),
        "check",
    }


def test_ids_are_dbts_unless_they_are_steps_or_checks(shop: Shop) -> None:
    content = json.loads(
        (shop.workspace.dir / "sample_project" / "target" / "manifest.json").read_text()
    )
    known = {*content["nodes"], *content["exposures"], *content["unit_tests"]}
    steps = {
        *("ingest_orders", "ingest_customers", "ingest_payments", "ingest_web_events"),
        *("ingest_exchange_rates", "analyze", "export_weekly_kpis", "prune_exports"),
        "refresh_dashboard",
    }
    checks = {*(f"source.shop.shop.{name}" for name in SHOP_SOURCES), "model.shop.fct_orders"}
    ids = {node["id"] for node in shop.second_run.said["nodes"]}
    assert {id for id in ids if id.startswith("step.")} == {f"step.{name}" for name in steps}
    assert {id for id in ids if id.startswith("check.")} == {f"check.{id}" for id in checks}
    assert {id for id in ids if not id.startswith(("step.", "check."))} <= known


def test_dbts_own_artifacts_are_complete(shop: Shop) -> None:
    content = json.loads(
        (shop.workspace.dir / "sample_project" / "target" / "run_results.json").read_text()
    )
    listed = {result["unique_id"] for result in content["results"]}
    # dbt gives neither steps nor checks nor ephemeral models a result
    expected = {
        node["id"]
        for node in shop.second_run.said["nodes"]
        if node["kind"] not in ("step", "check") and node["materialized"] != "ephemeral"
    }
    assert listed == expected


def test_runs_lists_both_newest_first(shop: Shop) -> None:
    command = ("runs", "--project-dir", "sample_project", "--format", "json")
    listed = shop.workspace.dbtorch(*command).json()
    assert [run["run_id"] for run in listed] == [shop.second_run.id, shop.first_run.id]


# ---------------------------------------------------------------------------- details


def _run_twice(workspace: Workspace, query: Query) -> Shop:
    found: list[tuple[Done, Shown, dict[str, int]]] = []
    for _ in range(2):
        done = workspace.dbtorch("run", "--project-dir", "sample_project")
        shown = workspace.show(cwd=workspace.dir / "sample_project")
        found.append((done, shown, _rows(query)))
    (first, first_run, first_rows), (second, second_run, second_rows) = found
    return Shop(
        workspace=workspace,
        query=query,
        first=first,
        second=second,
        first_run=first_run,
        second_run=second_run,
        first_rows=first_rows,
        second_rows=second_rows,
    )


def _rows(query: Query) -> dict[str, int]:
    """Rows of every table, but for what is written to grow with each run."""
    tables = query(
        "select table_schema, table_name from information_schema.tables "
        "where table_schema = 'raw' or table_schema like 'shop%'"
    )
    return {
        f"{schema}.{name}": query(f'select count(*) from "{schema}"."{name}"')[0][0]
        for schema, name in tables
        if not name.startswith("audit")
    }


def _has_shape(said: dict[str, Any], shape: dict[str, Any]) -> None:
    assert shape.keys() <= said.keys()
    wrong = {key: said[key] for key, types in shape.items() if not isinstance(said[key], types)}
    assert not wrong


def _duckdb(path: Path) -> Query:
    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    return query


def _ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()  # type: ignore[arg-type]


@contextmanager
def _postgres(server: str) -> Iterator[str]:
    """A database of its own."""
    name = f"dbtorch_sample_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield with_database(server, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
