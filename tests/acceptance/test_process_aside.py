"""SQL steps and checks where dbt is called for each batch, with dbt 1 and dbt 2.

One run of a project with all of it for each generation; what is asked of it is in the tests.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.acceptance.workspace import Workspace, eventually
from tests.engines import PROCESS_1_11, PROCESS_2, Can, Driven, over, shows
from tests.environments import Dbt
from tests.sessions import on_postgres

FILES = {
    "dbt_project.yml": """
        name: shop
        profile: shop
        vars: {colour: red}
        models: {+materialized: table}
    """,
    "profiles.yml": """
        shop:
          target: dev
          outputs:
            dev: {type: duckdb, path: "{{ env_var('SHOP_DUCKDB') }}", schema: main, threads: 2}
    """,
    "macros/twice.sql": "{% macro twice(n) %}{{ 2 * n }}{% endmacro %}",
    "models/orders.sql": """
        {{ config(group='sales', access='private') }}
        select id::int as id, case when id % 10 > 0 then 'a' end as email, '20260101' as day,
            timestamp '2020-01-01' as placed_at, id::decimal(8, 0) as amount
        from range(400) as t(id) -- {{ ref('countries') }}
    """,
    "models/after_orders.sql": "select * from {{ ref('countries') }}",
    "models/broken.sql": "select 1 as id",
    "models/after_broken.sql": "select * from {{ ref('broken') }}",
    "models/few.sql": "select 1 as id",
    "models/after_few.sql": "select * from {{ ref('few') }}",
    "models/schema.yml": """
        groups: [{name: sales, owner: {name: Ada, email: ada@example.com}}]
        sources:
          - {name: raw, schema: main, tables: [{name: landed, identifier: raw_landed}]}
    """,
    "models/landed.sql": "select id, id::decimal(8, 0) as amount from {{ source('raw', 'landed') }}",
    "seeds/countries.csv": "code,name\nde,Germany\nfr,France\n",
    "stepped.sql": """
        -- a comment; with a semicolon, {# a thing of Jinja's #} and "quotes" of 'both' kinds: ü 🦆
        create or replace table stepped as
        select
            '{{ run.id }}' as run, '{{ run.partition }}' as part, '{{ var("colour") }}' as colour,
            '{{ env_var("SHOP_PLACE") }}' as place, {{ twice(21) }} as answer, count(*) as n,
            '{{ target.name }}' as target, '🦆' as duck, '{{ "{%" }}' as jinja
        from {{ ref('countries') }};
        create or replace table several as select 1 as n;
        insert into several select n + 1 from several;
    """,
}

CONFIG = """
defaults: {retries: 0}
steps:
  land: {sql: "create or replace table raw_landed as select 7 as id", produces: "source:raw.landed"}
  stepped: {sql: stepped.sql, after: [countries]}
  after_stepped: {command: "echo $DBTORCH_RUN_ID >> after.txt", after: ["step:stepped"]}
  left_out: {sql: "select nothing", when: "{{ var('colour') == 'blue' }}", after: [countries]}
  no_table: {sql: "select * from nowhere", after: [countries]}
  no_macro: {sql: "select {{ nothing(1) }}", after: [countries]}
  no_statement: {sql: "{% if false %}select 1{% endif %} -- today", after: [countries]}
  no_syntax: {sql: "{% if %}", after: [countries]}
  half: {sql: "create table half (n integer); select * from nowhere", after: [countries]}
checks:
  sources:
    raw.landed: {row_count: {min: 1}, schema: error}
  models:
    countries: {row_count: {min: 2, max: 2}, schema: error}
    orders: {null_rate: {column: email, max: 5%, severity: warn}, row_count_change: 10%,
      freshness: {column: placed_at, max_age: 1d, severity: warn}}
    broken: {null_rate: [id, {column: nope, severity: warn}], schema: warn}
    few: {row_count: {min: 2}}
    after_orders: {freshness: {column: name, max_age: 1d, severity: warn}}
    landed: {freshness: [{column: id, max_age: 1d}, {column: amount, max_age: 1d}]}
"""


class Shop(Workspace):
    """A project that a dbt of either generation builds through the process engine."""

    def __init__(self, dir: Path, dbt: Dbt | None) -> None:
        super().__init__(dir, FILES)
        self.env |= {"SHOP_DUCKDB": str(dir / "warehouse.duckdb"), "SHOP_PLACE": "Berlin"}
        self.env |= {} if dbt is None else dbt.env
        engine = "type: process" if dbt is None else f"executable: {dbt.executable}"
        self.write({"dbtorch.yml": f"engine: {{{engine}}}\n{CONFIG}"})


@pytest.fixture(scope="module")
def shop(driven: Driven, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The project, after a run."""
    dbt = None if driven is PROCESS_1_11 else driven.make()
    shop = Shop(tmp_path_factory.mktemp("aside") / "shop", dbt)
    shop.dbtorch("run", code=1)
    return shop


def node(shop: Workspace, id: str) -> dict[str, Any]:
    """A node of the run by its id without the project's name."""
    (found,) = [n for n in shop.show().said["nodes"] if n["id"].replace(".shop.", ".", 1) == id]
    return found


@over(PROCESS_1_11, PROCESS_2)
@shows(Can.SQL)
def test_dbt_renders_a_step_as_it_renders_a_model(shop: Shop) -> None:
    shown = shop.show()
    rendered = (shown.id, "None", "red", "Berlin", 42, 2, "dev", "🦆", "{%")
    assert shop.query("select * from stepped") == [rendered]
    assert shop.query("select n from several order by n") == [(1,), (2,)]
    assert shop.lines("after.txt") == [shown.id]
    assert shop.dbtorch("logs", "latest", "stepped").out.count("insert into several") == 1


@over(PROCESS_1_11, PROCESS_2)
def test_a_step_is_judged_by_what_dbt_says(shop: Shop) -> None:
    assert (node(shop, "step.left_out")["state"], node(shop, "step.stepped")["state"]) == (
        "skipped",
        "success",
    )
    wrong = {
        "no_table": "nowhere does not exist",
        "no_macro": "nothing",
        "no_statement": "the sql rendered to nothing",
        "no_syntax": "end of",  # "… got 'end of statement block'", "unexpected end of block"
        "half": "nowhere does not exist",
    }
    for name, says in wrong.items():
        found = node(shop, f"step.{name}")
        assert (name, found["state"]) == (name, "failed")
        assert (name, found["attempts"][0]["failure_class"]) == (name, "code")
        assert says in found["reason"]
        assert "dbtorch_" not in found["reason"]
    assert shop.query("select 1 from information_schema.tables where table_name = 'half'") == []
    # DuckDB says how many rows, and neither dbt tells: it is not known, and not none
    assert node(shop, "step.stepped")["attempts"][0]["rows_affected"] is None


@over(PROCESS_1_11, PROCESS_2)
@shows(Can.CHECKS)
def test_checks_look_at_relations_and_hold_back_what_is_built_on_bad_ones(shop: Shop) -> None:
    fine = {"row_count": "2 rows", "schema": "2 columns; nothing to compare with yet"}
    assert said(shop, "seed.countries") == ("success", fine)
    assert said(shop, "source.raw.landed")[0] == "success"
    assert said(shop, "model.orders") == (
        "warn",
        {
            "null_rate(email)": "10 % of 400 rows null (40); at most 5 % expected",
            "row_count_change": "400 rows; nothing to compare with yet",
            "freshness(placed_at)": "the newest value is old: PAST",
        },
    )
    assert said(shop, "model.few") == ("failed", {"row_count": "1 row; at least 2 expected"})
    assert node(shop, "model.after_few")["state"] == "upstream_failed"
    assert node(shop, "model.after_orders")["state"] == "success"
    log = shop.dbtorch("logs", "latest", "check.model.shop.orders").out
    assert "count(email) as value_1" in log


@over(PROCESS_1_11, PROCESS_2)
def test_one_part_that_cannot_be_asked_leaves_the_others_as_they_are(shop: Shop) -> None:
    state, checks = said(shop, "model.broken")
    assert state == "failed"
    assert checks["null_rate(id)"] == "0 % of 1 row null"
    assert checks["schema"] == "1 column; nothing to compare with yet"
    assert checks["null_rate(nope)"].startswith("could not be evaluated: Binder Error: ")
    assert '"nope" not found' in checks["null_rate(nope)"]
    assert said(shop, "model.after_orders")[1]["freshness(name)"].startswith("could not be eval")
    assert "is no time but" in said(shop, "model.landed")[1]["freshness(id)"]
    assert "is no time but" in said(shop, "model.landed")[1]["freshness(amount)"]


@over(PROCESS_1_11, PROCESS_2)
def test_artifacts_know_nothing_of_it(shop: Shop) -> None:
    assert {id.split(".")[0] for id in shop.results()} == {"model", "seed"}
    manifest = json.loads((shop.dir / "target" / "manifest.json").read_text())
    assert not [id for id in manifest["macros"] if "dbtorch" in id]


@over(PROCESS_1_11, PROCESS_2)
def test_what_changes_what_ref_means_is_refused(shop: Shop) -> None:
    assert "with --empty, ref() in SQL step " in shop.refused("run", "--empty")


def test_another_database_file_is_not_opened(tmp_path: Path) -> None:
    """dbt 1 counts a relative path from the project, and that is its shadow then."""
    shop = Shop(tmp_path / "shop", None)
    shop.env["SHOP_DUCKDB"] = "warehouse.duckdb"
    assert "SQL step land would open another DuckDB file" in shop.refused("run")
    done = shop.refused("run", "--no-steps")
    assert "would open another DuckDB file, because its path is relative (warehouse.duck" in done


def test_a_project_may_consist_of_sql_steps(tmp_path: Path, dbt2: Dbt) -> None:
    """A dbt that selects nothing goes home at once, and runs no hooks; there is still work to do."""
    files = {
        "profiles.yml": FILES["profiles.yml"],
        "dbt_project.yml": """
            name: shop
            profile: shop
            on-run-start: create table never (n integer)
        """,
        "dbtorch.yml": f"""
            engine: {{executable: {dbt2.executable}}}
            steps: {{alone: {{sql: create table alone as select 1 as n}}}}
        """,
    }
    shop = Workspace(tmp_path / "shop", files)
    shop.env |= {**dbt2.env, "SHOP_DUCKDB": str(shop.dir / "warehouse.duckdb")}
    shop.dbtorch("run")
    assert shop.query("select table_name from information_schema.tables") == [("alone",)]


@pytest.mark.slow
@pytest.mark.postgres
def test_a_step_is_one_transaction_on_postgres_and_ends_when_its_time_is_over(
    tmp_path: Path, postgres_database: str
) -> None:
    schema = f"shop_{uuid4().hex[:8]}"
    profile = {**on_postgres(postgres_database), "schema": schema, "threads": 2}
    files = {
        "profiles.yml": json.dumps({"shop": {"target": "dev", "outputs": {"dev": profile}}}),
        "models/orders.sql": "{{ config(materialized='table') }} select 1 as id, now() as at",
        "slow.sql": f"create table {schema}.slow as select 1 as n from pg_sleep(3600)",
        "half.sql": f"create table {schema}.half (n int); select * from nowhere",
        "wrote.sql": f"create table {schema}.wrote as select * from {{{{ ref('orders') }}}}",
        "dbtorch.yml": """
            engine: {type: process}
            defaults: {retries: 0}
            steps:
              wrote: {sql: wrote.sql, after: [orders]}
              half: {sql: half.sql, after: [orders]}
              slow: {sql: slow.sql, after: [orders], timeout: 12s}
            checks:
              models:
                orders: {row_count: {min: 1}, freshness: {column: at, max_age: 1h}, schema: error}
        """,
    }
    shop = Workspace(tmp_path / "shop", files)
    with psycopg.connect(postgres_database, autocommit=True) as warehouse:
        warehouse.execute(f"create schema {schema}")  # type: ignore[arg-type]
        shop.dbtorch("run", "--grace", "3s", code=1)
        tables = (
            "select table_name::text from information_schema.tables"
            " where table_schema = %s order by 1"
        )
        assert warehouse.execute(tables, [schema]).fetchall() == [("orders",), ("wrote",)]
        others = (
            "select query from pg_stat_activity where datname = current_database()"
            " and backend_type = 'client backend' and state = 'active' and pid != pg_backend_pid()"
        )
        # dbt 1 does not hear a signal while Postgres is at work, and Postgres that it is gone
        assert eventually(lambda: not warehouse.execute(others).fetchall())
    assert said(shop, "model.orders")[1]["row_count"] == "1 row"
    assert node(shop, "step.wrote")["attempts"][0]["rows_affected"] == 1
    assert "nowhere" in node(shop, "step.half")["reason"]
    assert node(shop, "step.slow")["attempts"][0]["failure_class"] == "timeout"


SLOW = "create table slow as select coalesce(sleep_ms({ms}), 2025) as n"


@pytest.mark.parametrize("generation", [pytest.param("dbt1", marks=pytest.mark.slow), "dbt2"])
def test_a_step_is_cancelled_and_goes_on(
    tmp_path: Path, request: pytest.FixtureRequest, generation: str
) -> None:
    dbt = None if generation == "dbt1" else request.getfixturevalue("dbt2")
    shop = Shop(tmp_path / "shop", dbt)
    text = (shop.dir / "dbtorch.yml").read_text().partition("\ndefaults")[0]
    shop.write(
        {
            "dbtorch.yml": f"{text}\nsteps: {{slow: {{sql: slow.sql, after: [few]}}}}\n",
            "slow.sql": SLOW.format(ms=3_600_000),
            "dbt_project.yml": FILES["dbt_project.yml"].rstrip()
            + "\n        on-run-start: create table if not exists hooked as select 1 as n\n",
        }
    )
    with shop.started("run", "--select", "few step:slow", "--log-format", "json") as run:
        run.wait_for_node("step.slow")
        assert eventually(lambda: "sleep_ms(3600000)" in logged(shop))
        run.signal(signal.SIGINT)
        assert run.ended().code == 130
        assert shop.is_quiet()
    assert shop.show().states == {
        "few": "success",
        "slow": "cancelled",
        "shop-on-run-start-0": "success",
    }
    shop.write({"slow.sql": SLOW.format(ms=1)})
    shop.dbtorch("retry")
    shown = shop.show()
    assert (shown.state, shown.tries["few"]) == ("success", 1)
    assert shop.query("select n from slow") == [(2025,)]


def logged(shop: Workspace) -> str:
    """What is in the log of the slow step, so far."""
    logs = (shop.dir / ".dbtorch" / "runs").glob("*/nodes/step.slow.1.log")
    return "".join(log.read_text() for log in logs)


def said(shop: Workspace, relation: str) -> tuple[str, dict[str, str]]:
    """State of the checks of a relation, and what each says."""
    found = node(shop, f"check.{relation}")
    checks = {one["check"]: one["message"] for one in found["checks"]}
    past = r"(old: ).*"
    return found["state"], {name: re.sub(past, r"\1PAST", text) for name, text in checks.items()}
