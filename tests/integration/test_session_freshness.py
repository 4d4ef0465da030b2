"""Freshness of sources, checked by dbt's own rules in an open session."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest
from dbt.artifacts.schemas.freshness import FreshnessExecutionResultArtifact
from jsonschema import Draft202012Validator

from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.state import FailureClass, State
from tests.sessions import Shop, on_postgres, session

FILES = {
    "models/sources.yml": """
        sources:
          - name: raw
            schema: "{{ target.schema }}"
            config:
              loaded_at_field: loaded_at
              freshness:
                warn_after: {count: 12, period: hour}
                error_after: {count: 1, period: day}
            tables:
              - name: fresh
              - name: late
              - name: stale
              - name: empty
              - name: missing
              - name: raises
                identifier: fresh
                config: {loaded_at_field: "no_such_function(loaded_at)"}
              - name: filtered
                identifier: stale
                config: {freshness: {filter: "n > 1"}}
              - name: patient
                identifier: stale
                config: {freshness: {error_after: {count: 3, period: day}}}
              - name: asked
                identifier: stale
                config: {loaded_at_query: "select max(loaded_at) from {{ this.schema }}.fresh"}
              - name: unlimited
                config: {freshness: null}
          - name: silent
            config: {freshness: {error_after: {count: 1, period: day}}}
            tables: [name: events]
    """,
    "models/reads.sql": "select * from {{ source('raw', 'fresh') }}",
}

TABLES = """
    create table fresh as select 1 as n, {now} - interval '1 hour' as loaded_at;
    create table late as select 1 as n, {now} - interval '13 hours' as loaded_at;
    create table stale as select 1 as n, {now} - interval '31 hours' as loaded_at
        union all select 2, {now} - interval '31 hours';
    create table empty as select * from fresh where n = 0;
"""


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A project over sources of every age."""
    if request.param == "duckdb":
        found = Shop(tmp_path / "shop", FILES)
        with duckdb.connect(str(found.database)) as file:
            file.execute(TABLES.format(now="now()::timestamp"))
        return found
    url = os.environ.get("DBTORCH_TEST_POSTGRES")
    if not url:
        pytest.skip("DBTORCH_TEST_POSTGRES is not set")
    found = Shop(tmp_path / "shop", FILES, target=on_postgres(url))
    found.query(f"create schema {found.target['schema']}")
    for statement in TABLES.format(now="now()").strip().split(";\n"):
        found.query(statement)
    return found


def test_every_source_is_checked_and_written_also_those_that_raise(shop: Shop) -> None:
    names = ["fresh", "late", "stale", "empty", "missing", "raises", "filtered", "patient", "asked"]
    ids = [f"source.shop.raw.{name}" for name in names]
    with session(shop) as one:
        selected = one.engine.open()
        found = dict(zip(names, one.engine.check_sources(ids), strict=True))
    silent = "source.shop.silent.events"  # nothing says when it was loaded
    assert set(selected.freshness) == {*ids, silent}
    assert not selected.freshness[silent].checkable
    limits = Thresholds(warn_after=12 * 3600, error_after=24 * 3600)
    assert selected.freshness["source.shop.raw.fresh"] == limits
    assert selected.freshness["source.shop.raw.filtered"].filter == "n > 1"

    assert {name: outcome.state for name, outcome in found.items()} == {
        "fresh": State.SUCCESS,
        "late": State.WARN,
        "stale": State.FAILED,
        "empty": State.FAILED,
        "missing": State.FAILED,
        "raises": State.FAILED,
        "filtered": State.FAILED,
        "patient": State.WARN,  # has an error_after of its own
        "asked": State.SUCCESS,
    }
    assert found["stale"].message == "source raw.stale is stale: 31 h, allowed 24 h"
    assert found["late"].message == "source raw.late is late: 13 h, expected 12 h"
    assert found["empty"].message == "source raw.empty is stale: it has no rows"
    assert found["stale"].failure_class is FailureClass.DATA
    assert found["missing"].failure_class is FailureClass.CODE
    assert found["missing"].message.startswith("source raw.missing could not be checked: ")
    assert " Error in source" not in found["missing"].message
    assert "no_such_function" in found["raises"].message

    content = shop.artifact("sources.json")
    schema = FreshnessExecutionResultArtifact.json_schema()
    assert not list(Draft202012Validator(schema).iter_errors(content))
    written = {result["unique_id"]: result for result in content["results"]}
    assert set(written) == set(ids)
    assert {id.rpartition(".")[2]: result["status"] for id, result in written.items()} == {
        "fresh": "pass",
        "late": "warn",
        "stale": "error",
        "empty": "error",
        "missing": "runtime error",
        "raises": "runtime error",
        "filtered": "error",
        "patient": "warn",
        "asked": "pass",
    }
    assert "no_such_function" in written["source.shop.raw.raises"]["error"]
    assert not (shop.dir / "target/run_results.json").exists()  # nothing ran


#: A warehouse that knows when its tables were modified: a plugin gives DuckDB the capability, a
#: macro the answer, as adapters of other warehouses do.
KNOWING = {
    "plugins/dbt_modified.py": """
        from dbt.adapters.capability import Capability, CapabilitySupport, Support
        from dbt.adapters.duckdb.impl import DuckDBAdapter

        for can in (Capability.TableLastModifiedMetadata, Capability.TableLastModifiedMetadataBatch):
            DuckDBAdapter._capabilities[can] = CapabilitySupport(support=Support.Full)
        plugins = []
    """,
    "macros/modified.sql": """
        {% macro duckdb__get_relation_last_modified(information_schema, relations) %}
            {% call statement('found', fetch_result=True) %}
                select 'main' as schema, name as identifier, changed_at as last_modified,
                       now()::timestamp as snapshotted_at
                from modified
                where name in ('{{ relations | map(attribute="identifier") | join("', '") }}')
            {% endcall %}
            {{ return(load_result('found')) }}
        {% endmacro %}
    """,
    "models/sources.yml": """
        sources:
          - name: raw
            schema: main
            config: {freshness: {error_after: {count: 1, period: day}}}
            tables: [name: fresh, name: stale, name: unheard_of]
    """,
}


def test_what_the_warehouse_knows_of_its_tables_is_enough_where_it_does(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", KNOWING)
    ages = "select 'fresh' as name, 1 as hours union all select 'stale', 31"
    with duckdb.connect(str(shop.database)) as file:
        file.execute(
            "create table modified as select name, "
            f"now()::timestamp - to_hours(hours) as changed_at from ({ages})"
        )
    ids = [f"source.shop.raw.{name}" for name in ("fresh", "stale", "unheard_of")]
    with session(shop, env={"PYTHONPATH": str(shop.dir / "plugins")}) as one:
        selected = one.engine.open()
        assert all(selected.freshness[id].checkable for id in ids)
        found = [outcome.state for outcome in one.engine.check_sources(ids)]
    assert found == [State.SUCCESS, State.FAILED, State.FAILED]
    written = {result["unique_id"]: result for result in shop.artifact("sources.json")["results"]}
    assert [written[id]["status"] for id in ids] == ["pass", "error", "runtime error"]
