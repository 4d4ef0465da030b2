"""A DuckDB file has one writing process at a time: the session lets go of it for steps."""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb

from dbtorch.core.config import StepSpec
from dbtorch.core.model.state import FailureClass, State
from tests.gates import in_another_process
from tests.sessions import Session, Shop, session

FILES = {
    "models/sources.yml": """
        sources:
          - {name: early, schema: raw, tables: [name: orders]}
          - {name: late, schema: raw, tables: [name: payments]}
    """,
    "models/orders.sql": "select * from {{ source('early', 'orders') }}",
    "models/history.sql": """
        {{ config(materialized='incremental') }}
        select n, {{ is_incremental() }} as again from {{ ref('orders') }}
        {% if is_incremental() %} where n > (select max(n) from {{ this }}) {% endif %}
    """,
    # these come after the session has let go in the middle of the run
    "models/payments.sql": "select * from {{ source('late', 'payments') }}",
    "models/later_history.sql": """
        {{ config(materialized='incremental', unique_key='n') }}
        select n, {{ is_incremental() }} as again from {{ ref('payments') }}
        where exists (from {{ ref('history') }})
    """,
    "models/attached.sql": """
        {{ config(materialized='table', database='other') }}
        select count(*) as n from {{ ref('later_history') }}
    """,
    "models/in_python.py": """
        def model(dbt, session):
            return dbt.ref("attached")
    """,
}

#: Adds a row, or makes the table, in a process of its own; fails when the file is not free.
LANDS = """
    import sys, duckdb
    path, table = sys.argv[1:]
    with duckdb.connect(path) as file:
        file.execute("create schema if not exists raw")
        file.execute(f"create table if not exists raw.{table} (n integer)")
        file.execute(f"insert into raw.{table} select count(*) + 1 from raw.{table}")
        print(file.execute("select table_name from information_schema.tables").fetchall())
"""


def loading_run(shop: Shop, held: list[duckdb.DuckDBPyConnection]) -> tuple[Session, list[str]]:
    """A run with a step before dbt connects and one in the middle; what the steps saw."""
    seen: list[str] = []

    def land(table: str) -> None:
        seen.append(in_another_process(LANDS, shop.database, table))

    steps = {"step.early": lambda: land("orders"), "step.late": lambda: land("payments")}
    specs = [
        StepSpec(name="early", type="python", action="", produces=("source:early",)),
        StepSpec(
            name="late", type="python", action="", produces=("source:late",), after=("history",)
        ),
    ]

    def hold() -> None:
        held.append(duckdb.connect(str(shop.database)))

    with session(shop, specs=specs, steps=steps) as found:
        if held:
            held.pop().close()
            found.when("step.early", State.SUCCESS, hold)
            found.when("session.open", State.UP_FOR_RETRY, lambda: held.pop().close())
        found.drive()
    return found, seen


def test_a_step_may_write_to_the_database_file(tmp_path: Path) -> None:
    other = {"path": str(tmp_path / "other.duckdb"), "alias": "other"}
    target = {"type": "duckdb", "schema": "main", "attach": [other]}
    target["path"] = str(tmp_path / "shop" / "shop.duckdb")
    shop = Shop(tmp_path / "shop", FILES, target=target)

    found, seen = loading_run(shop, [])

    assert set(found.states.values()) == {"success"}
    assert "history" not in seen[0]
    assert "history" in seen[1]
    assert shop.query("select n, again from history") == [(1, False)]
    assert shop.query("select n, again from later_history") == [(1, False)]

    # again over the same file; somebody else has it for a moment, and dbt keeps it open now
    profile = {"target": "dev", "outputs": {"dev": {**shop.target, "keep_open": True}}}
    shop.write({"profiles.yml": json.dumps({"shop": profile})})

    found, seen = loading_run(shop, [duckdb.connect(str(shop.database))])

    assert set(found.states.values()) == {"success"}
    held, opened = found.outcomes("session.open")
    assert held.failure_class is FailureClass.TRANSIENT
    assert "Conflicting lock is held" in held.message
    assert str(os.getpid()) in held.message  # that is who
    assert opened.state is State.SUCCESS
    # what dbt knew of the warehouse before it let go is still so
    assert shop.query("select n, again from history order by n") == [(1, False), (2, True)]
    assert shop.query("select n, again from later_history order by n") == [(1, True), (2, True)]
    with duckdb.connect(other["path"], read_only=True) as file:
        assert file.execute("select n from attached").fetchall() == [(2,)]
    assert shop.query("select n from in_python") == [(2,)]
