"""What runs: dbt's selection, the steps that come along, and dbt's other options."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.acceptance.workspace import Done, Workspace
from tests.engines import PROCESS_2, SESSION_1_11, Can, Driven, over, shows

pytestmark = [shows(Can.OPTIONS)]

#: The two that select by words of their own.
both = over(SESSION_1_11, PROCESS_2)

FILES = {
    "dbtorch.yml": """
        defaults: {retries: 0}
        steps:
          load_orders: {command: "true", produces: source:raw.orders}
          load_customers: {command: "true", produces: source:raw.customers}
          push_orders: {command: "true", after: [orders]}
          push_both: {command: "true", after: [orders, customers]}
          announce: {command: "true", after: [step:push_orders]}
          alone: {command: "true"}
        pipelines:
          crm: {select: source:raw.customers+, description: What the sales team sees.}
          hand: {select: [step:load_orders, days, step:push_orders]}
          side: {select: [events, grown], exclude: grown, target: other}
    """,
    "profiles.yml": """
        shop:
          target: dev
          outputs:
            dev: {type: duckdb, path: warehouse.duckdb, schema: dev, threads: 2}
            other: {type: duckdb, path: warehouse.duckdb, schema: other, threads: 2}
    """,
    "selectors.yml": """
        selectors:
          - name: nightly
            definition: {method: tag, value: nightly}
    """,
    "models/schema.yml": """
        sources:
          - name: raw
            tables: [{name: orders}, {name: customers}]
        models:
          - {name: orders, columns: [{name: id, data_tests: [not_null]}]}
    """,
    # models over sources that exist without being loaded
    "models/stg_orders.sql": "select 1 as id -- depends_on: {{ source('raw', 'orders') }}",
    "models/orders.sql": "{{ config(tags='nightly') }} select * from {{ ref('stg_orders') }}",
    "models/customers.sql": "select 1 as id -- depends_on: {{ source('raw', 'customers') }}",
    "models/grown.sql": """
        {{ config(materialized='incremental') }}
        select {{ var('size', 1) }} as size, {{ target.threads }} as threads
    """,
    "models/days.sql": """
        {{ config(materialized='table', event_time='day') }}
        select cast(unnest(generate_series(date '2024-01-01', date '2024-01-06', interval 1 day))
            as timestamp) as day
    """,
    "models/events.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='microbatch',
            event_time='day', batch_size='day', begin='2024-01-01'
        ) }}
        select * from {{ ref('days') }}
    """,
    "seeds/countries.csv": "code\nDE\n",
}

MODELS = {"stg_orders", "orders", "customers", "grown", "days", "events"}
DBT = MODELS | {"countries", "not_null_orders_id"}
STEPS = {"load_orders", "load_customers", "push_orders", "push_both", "announce", "alone"}


@dataclass(kw_only=True)
class Tour:
    """One workspace, and what several runs in it came to."""

    workspace: Workspace
    done: dict[str, Done] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, driven: Driven) -> Workspace:
    """A workspace in which nothing ever runs."""
    return Workspace(tmp_path_factory.mktemp("selection") / "shop", FILES, driven=driven)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory, driven: Driven) -> Tour:
    """Runs that build on each other."""
    workspace = Workspace(tmp_path_factory.mktemp("options") / "shop", FILES, driven=driven)
    tour = Tour(workspace=workspace)

    def run(name: str, *args: str) -> None:
        tour.done[name] = workspace.dbtorch("run", *args)

    bare = ("--no-steps", "--exclude", "events", "days")
    run("first", *bare)
    run(
        "again",
        "--select",
        "grown",
        "--vars",
        "{size: 2}",
        "--threads",
        "1",
        "--export-saved-queries",
    )
    tour.rows["grown"] = sorted(workspace.query("select * from dev.grown"))
    run("full", "--select", "grown", "--full-refresh", "--target-path", "elsewhere")
    tour.rows["full"] = workspace.query("select * from dev.grown")
    run("empty", "--select", "orders", "stg_orders", "--empty", "--resource-type", "model")
    tour.rows["empty"] = workspace.query("select count(*) from dev.orders")
    window = ("--event-time-start", "2024-01-02", "--event-time-end", "2024-01-04")
    run("window", "--select", "days", "events", *window)
    tour.rows["window"] = workspace.query("select cast(day as date)::text from dev.events")
    state = ("--defer", "--state", "elsewhere", "--target", "other")
    run("defer", "--select", "orders", "--downstream-steps", *state, "--log-format", "json")
    tour.rows["defer"] = workspace.query("select * from other.orders")
    return tour


#: What dbt itself has to make out.
BY_DBT = [
    # no selection: everything
    ([], DBT | STEPS),
    # with its source: the ingestion too
    (
        ["--select", "+orders"],
        {"load_orders", "stg_orders", "orders", "not_null_orders_id"},
    ),
    # several words after one option; steps after both when they are asked for
    (
        ["--select", "orders", "customers", "--resource-type", "model", "--downstream-steps"],
        {"orders", "customers", "push_orders", "announce", "push_both"},
    ),
    # from a step to what comes after it
    (
        ["--select", "step:load_orders+"],
        {"load_orders", "stg_orders", "orders", "not_null_orders_id"},
    ),
    # what is excluded takes its steps along
    (
        ["--exclude", "orders", "source:raw.customers"],
        {"load_orders", "stg_orders", "customers", "grown", "days", "events", "countries"},
    ),
    # a selector of selectors.yml
    (
        ["--selector", "nightly", "--downstream-steps"],
        {"orders", "not_null_orders_id", "push_orders", "announce"},
    ),
    # types of resources
    (["--no-steps", "--resource-type", "seed", "test"], {"countries", "not_null_orders_id"}),
    # a list and an exclusion
    (["--pipeline", "side"], {"events"}),
]

#: The same whatever dbt it is.
BY_US = [
    # a model without its source: no ingestion, and no step after it
    (["--select", "orders"], {"orders", "not_null_orders_id"}),
    # steps by name, alone and beside models
    (["--select", "step:push_*", "step:alone"], {"push_orders", "push_both", "alone"}),
    (["--select", "grown", "step:alone"], {"grown", "alone"}),
    # to a step from what comes before it
    (
        ["--select", "+step:announce"],
        {
            *("load_orders", "stg_orders", "orders", "not_null_orders_id"),
            *("push_orders", "announce"),
        },
    ),
    # in both
    (["--select", "step:load_orders+,tag:nightly"], {"orders", "not_null_orders_id"}),
    # everything but
    (["--exclude", "step:push_*", "check:grown"], (DBT | STEPS) - {"push_orders", "push_both"}),
    # a pipeline: its selection, with the steps on both sides
    (["--pipeline", "crm"], {"load_customers", "customers"}),
    (["--pipeline", "hand"], {"load_orders", "days", "push_orders", "announce"}),
    # a selection goes before that of the pipeline; two options are one selection
    (["--pipeline", "crm", "-s", "grown", "--select=days"], {"grown", "days"}),
]


@both
@pytest.mark.parametrize(("args", "expected"), BY_DBT)
def test_what_takes_part(planned: Workspace, args: list[str], expected: set[str]) -> None:
    assert_takes_part(planned, args, expected)


@over(SESSION_1_11)
@pytest.mark.parametrize(("args", "expected"), BY_US)
def test_which_steps_take_part(planned: Workspace, args: list[str], expected: set[str]) -> None:
    assert_takes_part(planned, args, expected)


def assert_takes_part(planned: Workspace, args: list[str], expected: set[str]) -> None:
    said = planned.dbtorch("plan", *args, "--format", "json").json()
    assert {node["name"] for node in said["nodes"]} == expected
    assert not (planned.dir / "warehouse.duckdb").exists()
    assert planned.runs() == []


@over(SESSION_1_11)
def test_steps_that_are_left_out_are_told(planned: Workspace) -> None:
    done = planned.dbtorch("plan", "--select", "orders")
    assert "left out: steps push_orders, announce (--downstream-steps, or" in done.err
    done = planned.dbtorch("plan", "--select", "step:push", code=2)
    assert '"step:push" names no step; did you mean "step:push_both"?' in done.all


@both
def test_an_empty_selection_says_so_and_is_no_error(planned: Workspace) -> None:
    done = planned.dbtorch("run", "--select", "tag:nothing")
    assert "the selection matches no nodes; nothing was run" in done.all
    done = planned.dbtorch("run", "--select", "tag:nothing", "--fail-on-empty", code=2)
    assert done.err.startswith("Error: the selection matches no nodes, so nothing was run")
    assert planned.runs() == []
    assert "nothing would run" in planned.dbtorch("plan", "--select", "tag:nothing").out


@both
def test_vars_and_threads_reach_the_models(tour: Tour) -> None:
    assert tour.rows["grown"] == [(1, 2), (2, 1)]  # two runs, the second with other values


@both
def test_a_full_refresh_starts_over(tour: Tour) -> None:
    assert tour.rows["full"] == [(1, 2)]


@both
def test_artifacts_go_where_they_are_told(tour: Tour, driven: Driven) -> None:
    folder = tour.workspace.dir / "elsewhere"
    content = json.loads((folder / "run_results.json").read_text())
    assert [result["unique_id"] for result in content["results"]] == ["model.shop.grown"]
    assert driven.is_process or content["args"]["full_refresh"] is True  # dbt 2 writes none
    assert (folder / "manifest.json").exists()


@both
def test_empty_builds_without_rows(tour: Tour) -> None:
    assert tour.rows["empty"] == [(0,)]


@both
def test_the_window_limits_microbatches(tour: Tour) -> None:
    assert sorted(tour.rows["window"]) == [("2024-01-02",), ("2024-01-03",)]


@both
def test_defer_reads_what_another_target_has(tour: Tour) -> None:
    # stg_orders was never built there
    assert tour.rows["defer"] == [(1,)]
    (started,) = tour.done["defer"].events("run_started")
    assert started["target"] == "other"


@both
def test_only_steps_of_the_selection_run(tour: Tour) -> None:
    assert "step" not in tour.done["first"].out.partition("What to look at")[0]
    finished = tour.done["defer"].events("node")
    steps = {event["node_id"] for event in finished if event["kind"] == "step"}
    assert steps == {"step.push_orders", "step.announce"}


@both
def test_a_run_of_a_pipeline_is_recorded_under_its_name(tour: Tour) -> None:
    tour.workspace.dbtorch("run", "-p", "crm")
    shown = tour.workspace.show()
    assert shown.said["pipeline"] == "crm"
    assert shown.states == {"load_customers": "success", "customers": "success"}
    listed = tour.workspace.dbtorch("runs", "--pipeline", "crm", "--format", "json").json()
    assert [run["run_id"] for run in listed] == [shown.id]
