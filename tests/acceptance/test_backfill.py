"""A backfill with a real dbt: killed and gone on with, it builds what single runs build."""

import os
import shutil
import signal
import sqlite3

from tests.acceptance.workspace import Workspace

DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]

FILES = {
    "models/readings.sql": """
        {{ config(materialized='table', event_time='ts') }}
        select timestamp '2026-03-01' + to_hours(cast(i as integer)) as ts, i
        from range(0, 96) t(i)
    """,
    "models/hours.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='microbatch', event_time='ts',
            batch_size='day', lookback=0, begin='2026-03-01'
        ) }}
        select ts, i, 'v1' as code from {{ ref('readings') }}
    """,
    "models/days.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='delete+insert', unique_key='day'
        ) }}
        select '{{ var("day") }}' as day, count(*) as n, '{{ var("land") }}' as land from {{ ref('readings') }}
        where ts::date = date '{{ var("day") }}'
    """,
    "dbtorch.yml": """
        pipelines:
          daily:
            partition: {by: day, start: 2026-03-01}
            params: {land: {default: de, choices: [de, fr]}}
            vars: {day: "{{ run.partition }}", land: "{{ params.land }}"}
        steps:
          land:
            command: >-
              echo $DBTORCH_PARTITION >> landed.txt;
              until [ -e go ] || [ $DBTORCH_PARTITION != 2026-03-02 ]; do sleep 0.1; done
    """,
}


def built(workspace: Workspace) -> tuple[list[tuple[object, ...]], ...]:
    """Everything in the warehouse."""
    return (
        workspace.query("select * from hours order by ts"),
        workspace.query("select * from days order by day"),
    )


def supervisor(workspace: Workspace) -> int:
    """The process of the run that goes on."""
    with sqlite3.connect(workspace.dir / ".dbtorch" / "dbtorch.db") as history:
        query = "SELECT pid FROM dbtorch_leases WHERE name LIKE '%/daily/%' AND run_id LIKE '2%'"
        found = history.execute(query).fetchone()
    history.close()
    return int(found[0])


def runs(workspace: Workspace) -> list[dict[str, object]]:
    return list(workspace.dbtorch("backfills", "--all", "--format", "json").json()[0]["runs"])


def standing(workspace: Workspace, *args: str) -> dict[str, str]:
    found = workspace.dbtorch("partitions", *args, "--to", DAYS[-1], "--format", "json").json()
    return {one["partition"]: one["status"] for one in found["partitions"]}


def test_a_backfill_that_is_killed_goes_on_and_equals_single_runs(workspace: Workspace) -> None:
    workspace.write(FILES)
    span = ("--from", DAYS[0], "--to", DAYS[-1])
    dry = workspace.dbtorch("backfill", "daily", *span, "--max-active", "2", "--dry-run")
    assert "3 runs of pipeline daily on target dev: 2026-03-01 to 2026-03-03" in dry.out
    assert "one run at a time: one process writes a database file" in dry.out
    part = ("--select", "days", "--exclude", "step:land", "--dry-run", "--format", "json")
    assert workspace.dbtorch("backfill", "daily", *part).json()["touches"] == ["days"]
    refused = workspace.dbtorch("backfill", "daily", *span, "--param", "land=xx", code=2)
    assert "is 'xx'; expected one of de, fr" in refused.err
    with workspace.started("backfill", "daily", *span, "--param", "land=fr") as run:
        run.wait_for("1 of 3 done, 1 running")
        os.kill(run.pid, signal.SIGKILL)  # the command, and then the run that it has started
        run.process.wait()
        os.kill(supervisor(workspace), signal.SIGKILL)
        assert workspace.is_quiet()
    assert [one["state"] for one in runs(workspace)] == ["done", "started", "waiting"]
    assert "nobody drives it" in workspace.dbtorch("backfills").out
    refused = workspace.dbtorch("backfill", "daily", *span, code=2)
    assert "a pipeline has one at a time" in refused.err
    workspace.write({"go": ""})
    went_on = workspace.dbtorch("backfills", "resume", "daily")
    assert "3 of 3 done" in went_on.out
    assert workspace.lines("landed.txt") == [DAYS[0], DAYS[1], DAYS[1], DAYS[2]]
    assert len({one["run_id"] for one in runs(workspace)}) == 3
    assert standing(workspace, "daily") == dict.fromkeys(DAYS, "done")
    assert standing(workspace, "hours") == dict.fromkeys(DAYS, "done")
    filled = built(workspace)
    assert [row[1:] for row in filled[1]] == [(24, "fr")] * 3

    for selected in ((), ("--select", "hours")):
        again = workspace.dbtorch("backfill", "daily", *span, *selected)
        assert "there is nothing to do" in again.out + again.err
    assert built(workspace) == filled

    hours = FILES["models/hours.sql"].replace("v1", "v2")
    workspace.write({"models/hours.sql": hours})
    assert standing(workspace, "daily") == dict.fromkeys(DAYS, "stale")
    workspace.write({"models/hours.sql": FILES["models/hours.sql"]})

    shutil.rmtree(workspace.dir / ".dbtorch")
    (workspace.dir / "warehouse.duckdb").unlink()
    for day in DAYS:
        workspace.dbtorch("run", "-p", "daily", "--partition", day, "--param", "land=fr")
    assert built(workspace) == filled
