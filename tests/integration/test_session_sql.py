"""`sql:` steps: written in dbt's own templating, executed on dbt's own connection."""

from __future__ import annotations

from pathlib import Path

from dbtorch.core.config import StepSpec
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.settings import Settings
from tests.parity.artifacts import invalid
from tests.sessions import Session, Shop, driven, on_postgres

CODE = FailureClass.CODE

FILES = {
    "models/first.sql": "select 1 as id",
    "models/sources.yml": "sources: [{name: raw, schema: '{{ target.schema }}', tables: [name: landed]}]",
    "macros/twice.sql": "{% macro twice(n) %}{{ 2 * n }}{% endmacro %}",
}
PROJECT = """
vars: {colour: red}
on-run-start: "create table if not exists {{ target.schema }}.landed as select 7 as n"
"""

EVERYTHING = """
    -- a comment; with a semicolon
    create table {{ target.schema }}.rendered as
    select
        '{{ run.id }}' as run, '{{ run.partition }}' as part, '{{ var("colour") }}' as colour,
        '{{ env_var("SHOP_PLACE") }}' as place, {{ twice(21) }} as answer, n
    from {{ source('raw', 'landed') }}, {{ ref('first') }}
    {% if run.partition != '2026-03-01' %} where false {% endif %}
"""

SEVERAL = """
    create table {{ target.schema }}.several (n integer);
    insert into {{ target.schema }}.several values (1);
    insert into {{ target.schema }}.several select n + 1 from {{ target.schema }}.several;
"""

#: name -> SQL that fails, its class, and what the message says
WRONG = {
    "no_table": ("select * from nowhere", CODE, "nowhere"),
    "no_syntax": ("selct 1", CODE, "syntax error"),
    "no_statement": ("{% if false %}select 1{% endif %} -- today", CODE, "rendered to nothing"),
    "no_macro": ("select {{ nothing(1) }}", CODE, "'nothing' is undefined"),
    "no_model": ("select * from {{ ref('nobody') }}", CODE, "nobody"),
    "no_source": ("select * from {{ source('raw', 'nobody') }}", CODE, "nobody"),
    "no_env_var": ("select {{ env_var('NOWHERE') }}", CODE, "NOWHERE"),
    "no_var": ("select {{ var('nowhere') }}", CODE, "nowhere"),
    "bad_cast": ("select cast(id as int) from (select 'x' as id) as one", FailureClass.DATA, "x"),
    # what came before it is taken back
    "half": (
        "create table {{ target.schema }}.half (n integer); select * from nowhere",
        CODE,
        "nowhere",
    ),
}


def run_steps(shop: Shop) -> Session:
    texts = {"everything": EVERYTHING, "several": SEVERAL}
    texts |= {name: sql for name, (sql, _, _) in WRONG.items()}
    after = Settings(retries=0)
    specs = [
        StepSpec(name=name, type="sql", action=sql, after=("first",), settings=after)
        for name, sql in texts.items()
    ]
    sql = {f"step.{name}": sql for name, sql in texts.items()}
    return driven(shop, specs=specs, sql=sql, env={"SHOP_PLACE": "Berlin"})


def assert_as_it_should_be(found: Session) -> None:
    shop = found.shop
    for name, (_, failure, says) in WRONG.items():
        outcome = found.outcome(f"step.{name}")
        assert (name, outcome.state, outcome.failure_class) == (name, State.FAILED, failure)
        assert says in outcome.message, name
        assert "Traceback" not in outcome.message + found.log(f"step.{name}"), name
    assert found.states["step.everything"] == found.states["step.several"] == "success"
    row = ("run-1", "2026-03-01", "red", "Berlin", 42, 7)
    assert shop.query("select run, part, colour, place, answer, n from rendered") == [row]
    assert shop.query("select n from several order by n") == [(1,), (2,)]
    assert "select\n        'run-1' as run" in found.log("step.everything")

    # dbt's artifacts are about dbt's nodes
    nodes = shop.artifact("manifest.json")["nodes"]
    assert {node["resource_type"] for node in nodes.values()} == {"model", "operation"}
    assert shop.results().keys() == {"model.shop.first", "operation.shop.shop-on-run-start-0"}
    assert invalid(shop.dir / "target") == []


def test_sql_steps_on_duckdb(tmp_path: Path) -> None:
    found = run_steps(Shop(tmp_path / "shop", FILES, project=PROJECT))

    assert_as_it_should_be(found)
    assert (
        found.shop.query("select * from information_schema.tables where table_name = 'half'") == []
    )


def test_sql_steps_on_postgres(tmp_path: Path, postgres_database: str) -> None:
    target = on_postgres(postgres_database)

    found = run_steps(Shop(tmp_path / "shop", FILES, project=PROJECT, target=target))

    assert_as_it_should_be(found)
    assert found.shop.query(f"select to_regclass('{target['schema']}.half')") == [(None,)]
    assert found.outcome("step.everything").rows_affected == 1


def test_a_project_may_consist_of_sql_steps(tmp_path: Path) -> None:
    """dbt would go home at once, and run no hooks; there is still work to do."""
    shop = Shop(tmp_path / "shop", {}, project="on-run-start: create table never (n integer)")
    spec = StepSpec(name="alone", type="sql", action=(sql := "create table alone as select 1 as n"))

    found = driven(shop, specs=[spec], sql={spec.id: sql})

    assert set(found.states.values()) == {"success"}
    assert shop.query("select table_name from information_schema.tables") == [("alone",)]
    assert shop.results() == {}
    assert invalid(shop.dir / "target") == []
