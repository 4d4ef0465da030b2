"""Backfills on Postgres, with a real dbt: side by side, taken over by another machine, merged."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml

from tests.acceptance.workspace import Workspace
from tests.sessions import on_postgres
from tests.waiting import wait_for

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]

#: What makes a process one of another machine: its boot, and its name.
ELSEWHERE = """
    from dbtorch.adapters.processes import liveness

    liveness.this_host = lambda: "elsewhere"
    liveness._machine = lambda: "another-boot/1"
"""

FILES = {
    "models/sources.yml": """
        sources:
          - name: raw
            schema: "{{ target.schema }}"
            tables: [{name: readings, config: {event_time: ts}}]
    """,
    "models/hours.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='microbatch', event_time='ts',
            batch_size='day', lookback=0, begin='2026-03-01', unique_key='i'
        ) }}
        select ts, i from {{ source('raw', 'readings') }}
    """,
    # the second and the third day wait for each other, and then for good
    "dbtorch.yml": """
        pipelines:
          daily:
            partition: {by: day, start: 2026-03-01}
        steps:
          land:
            command: >-
              echo $DBTORCH_PARTITION >> landed.txt;
              until [ -e go ] || [ $DBTORCH_PARTITION = 2026-03-01 ]; do sleep 0.1; done
    """,
}


@pytest.fixture
def machines(tmp_path: Path, postgres_url: str, postgres_database: str) -> list[Workspace]:
    """Two machines with the same code, over one history and one warehouse; the first is another."""
    target = {**on_postgres(postgres_database), "schema": f"shop_{uuid4().hex[:8]}", "threads": 2}
    profiles = {"shop": {"target": "dev", "outputs": {"dev": target}}}
    made = []
    for name in ("elsewhere", "here"):
        one = Workspace(tmp_path / name, {**FILES, "profiles.yml": json.dumps(profiles)})
        one.env |= {
            "DBTORCH_DATABASE_URL": postgres_url,
            "DBTORCH_PROJECT_ID": "acme/shop",
            "DBTORCH_LEASE_LIFETIME": "6",
        }
        made.append(one)
    rows(made[0], f"create schema {target['schema']}")
    rows(
        made[0],
        "create table readings as select timestamp '2026-03-01' + i * interval '1 hour' as ts, i"
        " from generate_series(0, 95) as t(i)",
    )
    made[0].write({"machine/sitecustomize.py": ELSEWHERE})
    made[0].env["PYTHONPATH"] = str(made[0].dir / "machine")
    return made


def rows(workspace: Workspace, sql: str) -> list[tuple[Any, ...]]:
    """Ask the warehouse."""
    target = yaml.safe_load((workspace.dir / "profiles.yml").read_text())["shop"]["outputs"]["dev"]
    names = {name: target[name] for name in ("host", "port", "user", "dbname")}
    options = f"-csearch_path={target['schema']}"
    with psycopg.connect(**names, options=options, autocommit=True) as connection:
        cursor = connection.execute(sql)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def parts(workspace: Workspace) -> list[tuple[str, str, str]]:
    """Partition, state and run of each part of the newest backfill."""
    newest = workspace.dbtorch("backfills", "--all", "--format", "json").json()[0]
    return [(one["partition"], one["state"], one["run_id"]) for one in newest["runs"]]


@pytest.mark.postgres
def test_another_machine_goes_on_with_what_two_runs_at_once_were_at(
    machines: list[Workspace],
) -> None:
    elsewhere, here = machines
    span = ("--from", DAYS[0], "--to", DAYS[-1])
    with elsewhere.started("backfill", "daily", *span, "--max-active", "2") as driver:
        driver.wait_for("1 of 4 done")  # which made the table, by itself
        driver.wait_for("1 of 4 done, 2 running")
        wait_for(lambda: len(elsewhere.lines("landed.txt")) == 3)
        elsewhere.lose_power()
        driver.process.wait()
    before = parts(here)
    leases = "select distinct host from dbtorch_leases where run_id = any(%s)"
    with psycopg.connect(here.env["DBTORCH_DATABASE_URL"]) as history:
        runs = [run for _, _, run in before]
        assert history.execute(leases, [runs]).fetchall() == [("elsewhere",)]
    assert [(day, state) for day, state, _ in before] == [
        *zip(DAYS, ("done", "started", "started", "waiting"), strict=True)
    ]
    here.write({"go": ""})
    assert "4 of 4 done" in here.dbtorch("backfills", "resume", "daily").out
    after = parts(here)
    assert [state for _, state, _ in after] == ["done"] * 4
    assert [run for _, _, run in after[:3]] == [run for _, _, run in before[:3]]  # gone on with
    assert sorted(elsewhere.lines("landed.txt")) == DAYS[:3]
    assert sorted(here.lines("landed.txt")) == DAYS[1:]
    assert rows(here, "select count(*), count(distinct i) from hours") == [(96, 96)]

    # days that adjoin are one run, where microbatch models alone depend on them
    merging = ("backfill", "daily", *span, "--reprocess", "completed", "--merge", "3")
    why = here.dbtorch(*merging, code=2).err
    assert "--merge would give step land several partitions at once" in why
    rows(here, "delete from hours")
    here.dbtorch(*merging, "--exclude", "step:land")
    assert [(day, state) for day, state, _ in parts(here)] == [
        (f"{DAYS[0]}..{DAYS[2]}", "done"),
        (DAYS[3], "done"),
    ]
    assert rows(here, "select count(*), count(distinct i) from hours") == [(96, 96)]
    found = here.dbtorch("partitions", "hours", *span, "--format", "json").json()["partitions"]
    run, last = (run for _, _, run in parts(here))
    assert [(one["status"], one["run_id"]) for one in found] == [
        *[("done", run)] * 3,
        ("done", last),
    ]
