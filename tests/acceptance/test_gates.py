"""Freshness gates, as a user meets them: every state, every answer, on both warehouses.

One project has a source for each row of the table, and four models over it, so that all of them
cost a few runs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.acceptance.warehouses import Warehouse
from tests.acceptance.workspace import Shown, Workspace
from tests.engines import Can, shows

pytestmark = [pytest.mark.slow]

#: Its name -> what dbt's check of it says, and the age of its newest row in hours.
FOUND = {
    "fresh": ("pass", 1),
    "late": ("warn", 13),
    "stale": ("error", 31),
    "raises": ("runtime error", 1),
    "missing": ("runtime error", None),
}
ANSWERS = ("skip", "fail", "warn", "wait")

#: What a source ends in, and those that need it, by what is to happen when it is not fresh.
ENDS = {
    "skip": ("skipped", "skipped"),
    "fail": ("failed", "upstream_failed"),
    "warn": ("warn", "success"),
    "wait": ("skipped", "skipped"),  # waits, and then
}

CASES = tuple(itertools.product(FOUND, ANSWERS))

#: Models over each source: `require`, and whether they read a fresh source besides.
MODELS = {"one_any": ("any", False), "two_any": ("any", True),
          "one_all": ("all", False), "two_all": ("all", True)}  # fmt: skip


def project() -> dict[str, str]:
    """Sources, models and what happens behind each source."""
    limits = {
        "warn_after": {"count": 12, "period": "hour"},
        "error_after": {"count": 24, "period": "hour"},
    }
    tables: list[dict[str, Any]] = [{"name": "always"}]
    files = {}
    for found, answer in CASES:
        name = f"{found}_{answer}"
        on_stale = {"on_stale": {"warn": answer, "error": answer}}
        table: dict[str, Any] = {"name": name, "config": {"meta": {"dbtorch": on_stale}}}
        if found == "raises":
            table["config"]["loaded_at_field"] = "no_such_function(loaded_at)"
        tables.append(table)
        for model, (require, two) in MODELS.items():
            more = "-- {{ source('raw', 'always') }}" if two else ""
            files[f"models/{name}_{model}.sql"] = (
                f"{{{{ config(tags=['{found}', '{answer}'], meta={{'dbtorch': "
                f"{{'require': '{require}'}}}}) }}}}\n"
                f"-- {{{{ source('raw', '{name}') }}}} {more}\nselect 1 as id\n"
            )
    config = {"freshness": limits, "loaded_at_field": "loaded_at"}
    raw = {"name": "raw", "schema": "{{ target.schema }}", "config": config, "tables": tables}
    files["models/sources.yml"] = yaml.safe_dump({"sources": [raw]})
    files["dbtorch.yml"] = "freshness: {default: {every: 1s, for: 4s}}\n"
    return files


@pytest.fixture
def gates(workspace: Workspace, warehouse: Warehouse) -> Workspace:
    """The project, with its sources landed."""
    workspace.write(project())
    profile = {"shop": {"target": "dev", "outputs": {"dev": warehouse.profile}}}
    workspace.write({"profiles.yml": json.dumps(profile)})
    warehouse.land("always", 1)
    for found, answer in CASES:
        _, hours = FOUND[found]
        if hours is not None:
            warehouse.land(f"{found}_{answer}", hours)
    return workspace


def expected(cases: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The end of every node."""
    ends = {"raw.always": "success"}
    for found, answer in cases:
        source, behind = ("success", "success") if found == "fresh" else ENDS[answer]
        ends[f"raw.{found}_{answer}"] = source
        for model, (require, two) in MODELS.items():
            enough = require == "all" and two  # yesterday's table is good enough
            ends[f"{found}_{answer}_{model}"] = "success" if enough else behind
    return ends


def written(workspace: Workspace) -> dict[str, str]:
    """Status of each source in sources.json."""
    content = json.loads((workspace.dir / "target/sources.json").read_text())
    assert content["metadata"]["dbt_schema_version"].endswith("/sources/v3.json")
    return {
        result["unique_id"].removeprefix("source.shop.raw."): result["status"]
        for result in content["results"]
    }


def statuses(cases: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {"always": "pass"} | {f"{found}_{answer}": FOUND[found][0] for found, answer in cases}


def assert_ends(shown: Shown, cases: tuple[tuple[str, str], ...]) -> None:
    """Every node of the run ended as the table says."""
    assert {k: v for k, v in shown.states.items() if v != expected(cases).get(k)} == {}
    assert shown.states.keys() == expected(cases).keys()


@shows(Can.FRESHNESS)
def test_every_state_of_a_source_and_every_answer_to_it(
    gates: Workspace, warehouse: Warehouse
) -> None:
    assert_freshness_starts_nothing(gates)
    kept = f"{warehouse.profile['schema']}.stale_skip_one_any"
    warehouse.execute(f"create table {kept} as select 'yesterday' as built")

    # one that is to fail fails the run
    done = gates.dbtorch("run", code=1)
    assert warehouse.execute(f"select built from {kept}") == [("yesterday",)]
    shown = gates.show()
    assert_ends(shown, CASES)
    assert written(gates) == statuses(CASES)
    assert "source raw.stale_skip is stale: 31 h, allowed 24 h" in done.all
    # the sources are no results of dbt's
    ran = {id.rpartition(".")[2] for id in gates.results()}
    assert ran == {f"{found}_{answer}_{model}" for found, answer in CASES for model in MODELS}
    for found, answer in CASES:  # waiting is trying again; nothing else is
        waits = answer == "wait" and found != "fresh"
        assert (shown.tries[f"raw.{found}_{answer}"] > 1) is waits
    if warehouse.profile["type"] == "duckdb":  # the rest knows no warehouse
        assert_gated_runs_go_on(gates, warehouse)


def assert_freshness_starts_nothing(gates: Workspace) -> None:
    """The gate for scripts: `dbtorch freshness` checks all that is selected."""
    done = gates.dbtorch("freshness", "--format", "json", code=1)  # some could not be checked
    found = {one["name"]: one for one in done.json()["sources"]}
    assert {name.removeprefix("raw."): one["status"] for name, one in found.items()} == statuses(
        CASES
    )
    assert written(gates) == statuses(CASES)
    assert found["raw.stale_skip"]["message"] == (
        "source raw.stale_skip is stale: 31 h, allowed 24 h"
    )
    assert found["raw.stale_skip"]["depends_on_it"] == len(MODELS)
    assert gates.runs() == []
    assert not (gates.dir / "target/run_results.json").exists()


def assert_gated_runs_go_on(gates: Workspace, warehouse: Warehouse) -> None:
    # nothing failed, and a gate kept nodes from running
    rest = tuple(case for case in CASES if case[1] in ("skip", "wait"))
    done = gates.dbtorch("run", "--select", "tag:skip", "tag:wait", code=3)
    shown = gates.show()
    assert_ends(shown, rest)
    assert written(gates) == statuses(rest)
    assert shown.state == gates.runs()[0]["state"] == "gated"  # which is no success anywhere
    assert "was gated in " in done.out
    assert {"source.shop.raw.stale_skip", "source.shop.raw.missing_wait"} <= shown.said[
        "waits"
    ].keys()
    assert "3 nodes skipped: source raw.stale_skip is stale: 31 h, allowed 24 h" in done.all
    assert "dbtorch retry" in done.all

    # sources are checked anew when the run goes on
    for found, answer in rest:
        if found in ("late", "stale"):
            warehouse.execute(f"drop table {warehouse.profile['schema']}.{found}_{answer}")
            warehouse.land(f"{found}_{answer}", 1)
    gates.dbtorch("retry", code=3)
    shown = gates.show()
    now_fresh = [
        f"{found}_{answer}_one_any" for found, answer in rest if found in ("late", "stale")
    ]
    assert {shown.states[name] for name in now_fresh} == {"success"}
    assert shown.states["missing_skip_one_any"] == "skipped"

    # where nothing is held back the run is fine
    passed = tuple(case for case in CASES if "fresh" in case or "warn" in case)
    gates.dbtorch("run", "--select", "tag:fresh", "tag:warn")
    assert_ends(gates.show(), passed)
    assert written(gates) == statuses(passed)

    gates.dbtorch("run", "--no-freshness", "--select", "tag:missing")
    assert set(gates.show().states.values()) == {"success"}

    select = ("freshness", "--select", "source:raw.late_warn", "source:raw.fresh_*")
    gates.dbtorch(*select)
    done = gates.dbtorch(*select, "--fail-on", "warn", code=3)
    row = next(line.split() for line in done.out.splitlines() if "late_warn" in line)
    assert row[:8] == ["raw.late_warn", "warn", "13", "h", "warn", "after", "12", "h,"]
    assert set(written(gates).values()) == {"pass", "warn"}
    gates.dbtorch("freshness", "--select", "source:raw.stale_fail", code=3)
    said = gates.refused("freshness", "--select", "source:raw.nowhere")
    assert "matches no source" in said
