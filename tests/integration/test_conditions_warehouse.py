"""Conditions that ask the warehouse through dbt: in a DuckDB file, and in Postgres."""

import os

import duckdb
import pytest

from dbtorch.adapters.conditions.http import word_of
from dbtorch.adapters.conditions.unknown import Unknown
from dbtorch.service.conditions.warehouse import look_source, look_sql
from dbtorch.service.project.project import open_project
from tests.sessions import Shop, on_postgres

FILES = {
    "models/sources.yml": """
        sources:
          - name: raw
            schema: "{{ target.schema }}"
            config:
              loaded_at_field: loaded_at
              freshness: {error_after: {count: 1, period: day}}
            tables: [name: orders]
    """,
    "models/reads.sql": "select * from {{ source('raw', 'orders') }}",
}


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request, tmp_path, monkeypatch):
    url = os.environ.get("DBTORCH_TEST_POSTGRES")
    if request.param == "postgres" and not url:
        pytest.skip("DBTORCH_TEST_POSTGRES is not set")
    target = on_postgres(url) if request.param == "postgres" else None
    made = Shop(tmp_path / "shop", FILES, target=target)
    monkeypatch.chdir(made.dir)  # a relative path counts from where dbt is called
    if target is not None:
        made.query(f"create schema {target['schema']}")
    execute(made, "create table orders as select 7 as id, timestamp '2026-03-01 12:00' loaded_at")
    return made


def execute(shop, sql):
    if shop.target["type"] == "duckdb":
        with duckdb.connect(str(shop.database)) as file:
            file.execute(sql)
    else:
        shop.query(sql)


def test_a_query_is_known_by_its_value_and_a_source_by_its_newest_row(shop):
    project = open_project(str(shop.dir))
    environ = dict(os.environ)
    query = "select max(id) from {{ source('raw', 'orders') }}"
    assert look_sql(project, query, None, environ).words == word_of(7)
    assert look_sql(project, f"{query} where id > 7", "dev", environ).words == ""
    stale = look_source(project, "raw.orders", None, environ)  # stale, and known all the same
    assert (stale.at.day, stale.words[:16]) == (1, "2026-03-01T12:00")
    execute(shop, "insert into orders values (8, timestamp '2026-03-02 12:00')")
    assert look_source(project, "raw.orders", None, environ).words > stale.words
    with pytest.raises(Unknown, match="nosuch"):
        look_sql(project, "select * from nosuch", None, environ)
