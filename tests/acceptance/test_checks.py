"""Checks beyond dbt's tests, as a user meets them, over runs between which the data changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from dbtorch.adapters.store import open_store
from dbtorch.core.alerts.alert import Alert, from_json
from tests.acceptance.warehouses import Warehouse
from tests.acceptance.workspace import Workspace
from tests.engines import Can, shows

pytestmark = [pytest.mark.slow]

SOURCES: dict[str, Any] = {
    "orders": {
        "row_count": 1,
        "freshness": {"column": "loaded_at", "max_age": "1d"},
        "schema": "warn",
    },
    "customers": {"schema": "error"},
    "events": {},
}

PROJECT = {
    "dbtorch.yml": """
        checks:
          models:
            "fct_*": {row_count_change: 50%}
            fct_emails: {null_rate: {column: email, max: 5%, severity: warn}}
            events: {row_count: {min: 1}}
        defaults: {retries: 0}
        alerts: {targets: "*", webhook: {url: "http://127.0.0.1:9/", secret: s}}
    """,
    "models/fct_orders.sql": """
        {{ config(materialized='incremental') }} select id from {{ source('raw', 'orders') }}
        {% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}
    """,
    "models/kpis.sql": "select count(*) as n from {{ ref('fct_orders') }}",
    "models/customers.sql": """
        {{ config(materialized='table') }} select 1 as id -- {{ source('raw', 'customers') }}
    """,
    "models/fct_emails.sql": """
        {{ config(materialized='table') }}
        select id, case when id % 10 > 0 then 'a' end as email from {{ ref('fct_orders') }}
    """,
    "models/mail.sql": "select * from {{ ref('fct_emails') }}",
    "models/events.sql": """
        {{ config(materialized='table') }} select * from {{ source('raw', 'events') }}
    """,
    "models/visits.sql": "select * from {{ ref('events') }}",
    "tests/somebody_came.sql": """
        select 1 as nobody where not exists (select 1 from {{ ref('events') }})
    """,
    "models/broken.sql": """
        {{ config(tags=['broken'], meta={'dbtorch': {'checks': {'null_rate': [
            'id', {'column': 'nope', 'severity': 'warn'}]}}}) }}
        select id from {{ ref('fct_orders') }}
    """,
    "models/behind.sql": "{{ config(tags=['broken']) }} select * from {{ ref('broken') }}",
    "seeds/countries.csv": "code,name\nde,Germany\nfr,France\n",
}

ROWS = 400


@pytest.fixture
def shop(workspace: Workspace, warehouse: Warehouse) -> Workspace:
    """The project, with its sources landed."""
    workspace.write(PROJECT)
    tables = [
        {
            "name": name,
            "identifier": f"raw_{name}",
            "config": {"meta": {"dbtorch": {"checks": checks}}},
        }
        for name, checks in SOURCES.items()
    ]
    raw = {"name": "raw", "schema": "{{ target.schema }}", "tables": tables}
    profile = {"shop": {"target": "dev", "outputs": {"dev": warehouse.profile}}}
    workspace.write(
        {
            "models/sources.yml": yaml.safe_dump({"sources": [raw]}),
            "profiles.yml": json.dumps(profile),
        }
    )
    schema = warehouse.profile["schema"]
    made = f"from generate_series(1, {ROWS}) as t(id)"
    warehouse.execute(f"create table {schema}.raw_orders as select id, now() as loaded_at {made}")
    warehouse.execute(f"create table {schema}.raw_customers as select 1 as id, 'a' as name")
    warehouse.execute(f"create table {schema}.raw_events as select id {made}")
    return workspace


def nodes(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Nodes of the last run, by their ids without the project's name."""
    said = workspace.show().said["nodes"]
    return {node["id"].replace(".shop.", ".", 1): node for node in said}


def alerts(workspace: Workspace) -> list[Alert]:
    """What there is to tell of the last run."""
    store = open_store(None, workspace.dir)
    try:
        kept = store.outbox(run_id=workspace.show().id)
        return [from_json(one.entry.body["alert"]) for one in kept]
    finally:
        store.close()


def complaints(node: dict[str, Any]) -> dict[str, str]:
    """What checks say that are not content, by their names."""
    return {one["check"]: one["message"] for one in node["checks"] if one["status"] != "ok"}


def states(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {id: node["state"] for id, node in found.items()}


@shows(Can.CHECKS)
def test_checks_over_several_runs(shop: Workspace, warehouse: Warehouse) -> None:
    schema = warehouse.profile["schema"]

    # the first run: nothing to compare with, and one that warns
    done = shop.dbtorch("run", "--exclude", "tag:broken")
    found = nodes(shop)
    first = states(found)
    assert first.pop("check.model.fct_emails") == "warn"
    assert set(first.values()) == {"success"}
    assert "null_rate(email): 10 % of 400 rows null (40); at most 5 % expected" in done.all
    orders = {one["check"]: one["message"] for one in found["check.source.raw.orders"]["checks"]}
    assert orders["row_count"] == "400 rows"
    assert orders["schema"] == "2 columns; nothing to compare with yet"
    change = next(one for one in found["check.model.fct_orders"]["checks"])
    assert change["message"] == "400 rows; nothing to compare with yet"
    # rows are known of all that has any
    rows = {id: node["rows"] for id, node in found.items() if node["rows"] is not None}
    assert rows == {
        "model.fct_orders": ROWS,
        "model.fct_emails": ROWS,
        "model.events": ROWS,
        "model.customers": 1,
        "seed.countries": 2,
    }
    # sources are looked at before what reads them, models before what reads those
    moves = {id: node["attempts"][0]["started_at"] for id, node in found.items()}
    assert moves["check.source.raw.orders"] < moves["model.fct_orders"]
    assert moves["model.fct_orders"] < moves["check.model.fct_orders"] < moves["model.kpis"]

    # the data changes
    warehouse.execute(f"alter table {schema}.raw_orders add column note text")
    warehouse.execute(f"alter table {schema}.raw_customers drop column name")
    warehouse.execute(f"delete from {schema}.raw_events")
    done = shop.dbtorch("run", code=1)
    found = nodes(shop)
    assert states(found) | {
        "check.source.raw.orders": "warn",  # told before a model breaks on it, and nothing does
        "model.fct_orders": "success",
        "model.kpis": "success",
        "check.source.raw.customers": "failed",
        "model.customers": "upstream_failed",
        "model.events": "success",
        "check.model.events": "failed",
        "model.visits": "upstream_failed",
        "model.broken": "success",
        "check.model.broken": "failed",  # it cannot be evaluated, whatever its severity
        "model.behind": "upstream_failed",
    } == states(found)
    drift = complaints(found["check.source.raw.orders"])["schema"]
    assert drift.startswith("added: note (")
    assert complaints(found["check.source.raw.customers"]) == {"schema": "removed: name"}
    empty = "0 rows, usually about 400; at least 1 expected"
    assert complaints(found["check.model.events"]) == {"row_count": empty}
    assert empty in done.all
    nope = complaints(found["check.model.broken"])
    assert list(nope) == ["null_rate(nope)"]
    assert nope["null_rate(nope)"].startswith("could not be evaluated: ")
    assert "nope" in nope["null_rate(nope)"]
    assert (found["model.events"]["rows"], found["model.events"]["usual_rows"]) == (0, 400)
    row = next(x for x in shop.dbtorch("show", "latest").out.splitlines() if "model events" in x)
    assert row.split()[-4:] == ["0", "usually", "about", "400"]
    assert found["model.fct_orders"]["rows"] == 0  # nothing new
    count = {one["check"]: one for one in found["check.model.fct_orders"]["checks"]}
    assert count["row_count_change"]["message"] == "400 rows, usually about 400"
    assert shop.results()["model.shop.behind"] == "skipped"
    assert not any(id.startswith("check") for id in shop.results())
    told = shop.dbtorch("alerts", "list", "--all", "--run", shop.show().id, "--format", "json")
    assert {one["headline"] for one in told.json()} == {
        "test somebody_came failed",
        "check of source raw.orders does not pass",
        "check of source raw.customers does not pass",
        "check of model events does not pass",
        "check of model fct_emails does not pass, for the second run in a row",
        "check of model broken does not pass",
    }

    # who is told of the test is told how many rows it has looked at
    (alert,) = [one for one in alerts(shop) if one.name == "somebody_came"]
    assert alert.facts == (("Rows of events", "0 rows, usually about 400"),)

    # a drift that blocks is there until somebody says that it is fine
    shop.dbtorch("retry", code=1)
    assert complaints(nodes(shop)["check.source.raw.customers"]) == {"schema": "removed: name"}
    shop.dbtorch(
        "mark", "latest", "check.source.shop.raw.customers", "success", "--reason", "we know"
    )
    warehouse.execute(f"insert into {schema}.raw_events select 1")
    shop.dbtorch("rerun", "latest", "--select", "events", code=1)
    shop.dbtorch("retry", code=1)
    found = states(nodes(shop))
    assert (found["model.customers"], found["model.visits"]) == ("success", "success")
    shop.dbtorch("run", "--select", "customers")
    found = nodes(shop)
    assert found["check.source.raw.customers"]["checks"][0]["message"] == "1 column, as before"

    # and without checks a run is what it was
    shop.dbtorch("run", "--no-checks", "--select", "tag:broken")
    assert set(states(nodes(shop))) == {"model.broken", "model.behind"}

    # what cannot be checked is never green
    warehouse.execute(f"drop table {schema}.raw_orders")
    warehouse.execute(f"drop table {schema}.raw_customers")
    shop.dbtorch("run", "--select", "fct_orders", "customers", code=1)
    found = states(nodes(shop))
    assert found == {
        "check.source.raw.orders": "failed",
        "check.source.raw.customers": "failed",
        "model.fct_orders": "upstream_failed",
        "model.customers": "upstream_failed",
        "check.model.fct_orders": "upstream_failed",
    }

    # what would never be checked is refused before anything starts
    shop.write({"dbtorch.yml": "checks: {models: {fct_ordres: {row_count: 1}}}"})
    said = shop.refused("run")
    assert said.startswith('dbtorch.yml:1: checks.models has "fct_ordres", which names no model')
    assert 'did you mean "fct_orders"?' in said
