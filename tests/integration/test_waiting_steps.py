"""Steps that wait, in a run with dbt: for a file, a query of the run's own warehouse, a pipeline."""

import pytest

from dbtorch import Project
from tests.sessions import Shop, on_postgres

FILES = {
    "models/sources.yml": """
        sources:
          - name: raw
            schema: main
            tables: [name: landed]
    """,
    "models/orders.sql": "select 1 as id -- {{ source('raw', 'landed') }}",
    "dbtorch.yml": """
        version: 1
        steps:
          file:
            wait_for: {file: "landing/{{ params.name }}.csv", every: 1s, stable: 0s}
            produces: source:raw.landed
          query:
            wait_for:
              sql: select count(*) > 0 from information_schema.tables where table_name = 'orders'
              every: 1s
          failed:
            wait_for: {pipeline: broken, states: [failed], max_age: 1d}
          never:
            wait_for: {pipeline: broken, every: 1s, for: 1s, then: skip}
          breaks:
            command: [sh, -c, exit 65]
        pipelines:
          broken: {select: "step:breaks"}
          daily:
            exclude: "step:breaks"
            params: {name: orders}
    """,
}


def test_each_waits_until_what_it_waits_for_is_there(tmp_path, monkeypatch):
    shop = Shop(tmp_path / "shop", FILES)
    monkeypatch.chdir(shop.dir)
    (shop.dir / "landing").mkdir()
    project = Project(shop.dir)
    assert project.run(pipeline="broken").state == "failed"
    seen = []

    def on_change(change):
        seen.append((change.node_id, str(change.state)))
        if (change.node_id, change.state) == ("step.never", "skipped"):
            (shop.dir / "landing" / "orders.csv").touch()

    run = project.run(pipeline="daily", on_change=on_change)
    nodes = {node.id: node for node in run.nodes}
    assert run.state == "success", [(one.id, one.state, one.reason) for one in run.nodes]
    assert nodes["step.never"].state == "skipped"
    assert str(nodes["step.never"].reason).startswith(
        "waited 1s: waits for pipeline broken (success)"
    )
    order = [node for node, state in seen if state == "success"]
    assert order.index("step.file") < order.index("model.shop.orders") < order.index("step.query")
    for name in ("file", "query", "failed"):  # looked at often, and one attempt
        assert [len(nodes[f"step.{name}"].attempts)] == [1]
    history = project.show(run.id)
    assert history.state == "success"


@pytest.mark.postgres
@pytest.mark.parametrize("engine", ["session", "process"])
def test_a_query_is_asked_again_until_it_is_true(engine, tmp_path, monkeypatch, postgres_database):
    target = on_postgres(postgres_database)
    looks = "select nextval('{{ target.schema }}.looks') > 2 as it_is_there"
    files = {
        "models/orders.sql": "select 1 as id",
        "dbtorch.yml": f"""
            engine: {{type: {engine}}}
            steps:
              query: {{wait_for: {{sql: "{looks}", every: 1s}}}}
              never: {{wait_for: {{sql: "select 1 = 2", every: 1s, for: 1s, then: skip}}}}
              wrong: {{wait_for: {{sql: "select * from nosuch", every: 1s}}, retry: {{retries: 0}}}}
        """,
    }
    shop = Shop(tmp_path / "shop", files, target=target)
    monkeypatch.chdir(shop.dir)
    shop.query(f"create schema {target['schema']}")
    shop.query("create sequence looks")
    run = Project(shop.dir).run()
    nodes = {node.id: node for node in run.nodes}
    states = {name: nodes[f"step.{name}"].state for name in ("query", "never", "wrong")}
    assert states == {"query": "success", "never": "skipped", "wrong": "failed"}
    assert "nosuch" in nodes["step.wrong"].attempts[-1].message
    assert shop.query("select last_value from looks") == [(3,)]
    assert len(nodes["step.query"].attempts) == 1
