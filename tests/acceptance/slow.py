"""A project with a query that takes as long as a test wants it to."""

from __future__ import annotations

from tests.acceptance.workspace import Running, Workspace

#: Takes minutes and no CPU, and is over at once when ``size.csv`` says 1. `tests/integration/` cancels
#: queries that are at work.
SLOW_SQL = """
    {{ config(materialized='table') }}
    select coalesce(sleep_ms(n), 0) as total from read_csv('size.csv')
"""

PROFILES = """
    shop:
      target: dev
      outputs:
        dev: {type: duckdb, path: warehouse.duckdb, threads: 2, settings: {threads: 1}}
"""

FILES = {
    "profiles.yml": PROFILES,
    "dbtorch.yml": """
        steps:
          publish: {command: "echo published >> published.txt", after: [after_slow]}
    """,
    "models/quick.sql": "select 1 as id",
    "models/slow.sql": "-- depends_on: {{ ref('quick') }}" + SLOW_SQL,
    "models/after_slow.sql": "select * from {{ ref('slow') }}",
}

SLOW = "model.shop.slow"

#: Every dbt node, which is what run_results.json has to list.
MODELS = {"model.shop.quick", SLOW, "model.shop.after_slow"}


def slow(workspace: Workspace) -> Workspace:
    """Make it that project; the query takes for ever."""
    workspace.write(FILES)
    set_slow(workspace, slow=True)
    return workspace


def wait_for_slow(run: Running) -> None:
    """Wait until the query runs, and all before it is done; with ``--log-format json``."""
    run.wait_for_node("model.shop.quick", "success")
    run.wait_for_node(SLOW)


def set_slow(workspace: Workspace, *, slow: bool) -> None:
    """Let the query take for ever, from its next start on, or no time at all."""
    workspace.write({"size.csv": f"n\n{1000000 if slow else 1}\n"})
