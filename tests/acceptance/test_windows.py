"""What derives from the time belongs to a run: a retry builds what the first attempt would have."""

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

from tests.acceptance.workspace import Workspace
from tests.engines import (
    PROCESS_1_11,
    PROCESS_2,
    SESSION_1_10,
    SESSION_1_11,
    SESSION_1_12,
    Driven,
    over,
)

#: When the run began that is gone on with now.
BEGAN = datetime.now(UTC) - timedelta(hours=30)

#: Where its windows end.
HOUR = BEGAN.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
DAY = BEGAN.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def model(batch_size: str, begin: datetime) -> str:
    # dbt 2 may begin with two batches at once, of which each creates the table
    return f"""
        {{{{ config(
            materialized='incremental', incremental_strategy='microbatch', event_time='ts',
            batch_size='{batch_size}', lookback=0, begin='{begin:%Y-%m-%dT%H:%M:%S}',
            concurrent_batches=false
        ) }}}}
        select ts, '{{{{ run_started_at }}}}' as began, {{{{ env_var('BREAK', '1') }}}} as v
        from {{{{ ref('readings') }}}}
    """


FILES = {
    "models/readings.sql": """
        {{ config(materialized='view', event_time='ts') }}
        select date_trunc('hour', now() at time zone 'UTC') - to_hours(cast(i as integer)) as ts
        from range(0, 120) t(i)
    """,
    "models/hourly.sql": model("hour", HOUR - timedelta(hours=3)),
    "models/daily.sql": model("day", DAY - timedelta(days=2)),
    "models/shown.sql": "select '{{ run_started_at }}' as began from {{ ref('hourly') }} limit 1",
    "dbtorch.yml": "defaults: {retries: 0}",
}


def let_it_have_begun(workspace: Workspace, at: datetime) -> None:
    """Move the beginning of the only run there is."""
    with sqlite3.connect(workspace.dir / ".dbtorch" / "dbtorch.db") as history:
        moment = at.isoformat(timespec="microseconds")
        history.execute("UPDATE dbtorch_runs SET started_at = ?", (moment,))
    history.close()


def built(workspace: Workspace, name: str) -> tuple[datetime, datetime]:
    """The first and the last hour of a model."""
    ((first, last),) = workspace.query(f"select min(ts), max(ts) from {name}")
    return first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)


@over(SESSION_1_11, PROCESS_1_11, PROCESS_2, SESSION_1_10, SESSION_1_12)
def test_a_retry_builds_the_batches_of_the_first_attempt(workspace: Workspace) -> None:
    workspace.write(FILES)
    workspace.dbtorch("run", code=1, env={"BREAK": "nope", "DBT_FULL_REFRESH": "true"})
    let_it_have_begun(workspace, BEGAN)
    workspace.dbtorch("retry", env={"DBT_EVENT_TIME_START": "2026-01-01"})  # another run's option
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert built(workspace, "hourly") == (HOUR - 3 * hour, HOUR - hour)
    assert built(workspace, "daily") == (DAY - 2 * day, DAY - hour)
    began = workspace.query("select distinct began from hourly union select began from shown")
    assert [datetime.fromisoformat(text) for (text,) in began] == [BEGAN]


#: A model of which a batch fails that is not the newest.
YEARS = {
    "models/readings.sql": """
        {{ config(materialized='table', event_time='ts') }}
        select unnest([timestamp '2024-03-01', '2025-03-01', '2026-03-01']) as ts
    """,
    "models/years.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='microbatch', event_time='ts',
            batch_size='year', lookback=0, begin='2024-01-01'
        ) }}
        select ts, {{ env_var('BREAK', '1') }} as v from {{ ref('readings') }}
    """,
    "models/after_years.sql": "{{ config(materialized='table') }} select * from {{ ref('years') }}",
    "models/beside.sql": "select {{ env_var('BREAK', '1') }} as v from (select timestamp '2025-01-01' as ts)",
    "dbtorch.yml": "defaults: {retries: 0}",
}


@over(PROCESS_1_11, PROCESS_2)
def test_a_retry_builds_the_batches_that_failed_and_leaves_the_others(workspace: Workspace) -> None:
    """dbt itself builds the newest batches when it is called again, and says success."""
    workspace.write(YEARS)
    failing = {"BREAK": "case when year(ts) = 2025 then error('bad batch') else 1 end"}
    workspace.dbtorch("run", code=1, env=failing)
    assert workspace.query("select count(*) from years where year(ts) = 2024") == [(1,)]
    workspace.dbtorch("retry", env={"BREAK": "2"})
    assert set(workspace.show().states.values()) == {"success"}
    assert workspace.query("select count(*) from after_years") == [(3,)]
    found = dict(workspace.query("select year(ts), v from years"))
    assert found[2025] == 2
    if workspace.driven is PROCESS_1_11:  # which says of each batch what became of it
        assert found[2024] == found[2026] == 1


@over(SESSION_1_11, PROCESS_2)
def test_a_retry_compares_with_the_state_of_the_first_attempt(
    workspace: Workspace, driven: Driven
) -> None:
    workspace.write(
        {
            "models/first.sql": "select {{ env_var('BREAK', '1') }} as v",
            "models/second.sql": "select * from {{ ref('first') }}",
            "dbtorch.yml": "defaults: {retries: 0}",
        }
    )
    workspace.dbtorch("run")
    target, production = workspace.dir / "target", workspace.dir / "production"
    shutil.copytree(target, production)
    workspace.write({"models/first.sql": "select {{ env_var('BREAK', '1') }} as v, 2 as new"})
    modified = ("run", "--select", "state:modified+", "--state", "production")
    workspace.dbtorch(*modified, code=1, env={"BREAK": "nope"})
    shutil.copy(target / "manifest.json", production)  # production is released
    workspace.dbtorch("retry")
    assert workspace.show().states == {"first": "success", "second": "success"}
    assert workspace.query("select new from second") == [(2,)]
    if driven is PROCESS_2:  # the rest is no matter of the engine
        return

    workspace.dbtorch("run", code=1, env={"BREAK": "nope"})
    for name in ("first", "second"):
        (workspace.dir / "models" / f"{name}.sql").unlink()
    workspace.write({"models/third.sql": "{{ config(enabled=false) }} select 1 as id"})
    assert "it stays failed (start another run" in workspace.refused("retry")


#: Two pipelines that stand for a day: one builds its batches, one those that dbt would at its end.
DAYS = {
    "models/readings.sql": """
        {{ config(materialized='view', event_time='ts') }}
        select timestamp '2026-10-25' + to_hours(cast(i as integer)) as ts from range(0, 480) t(i)
    """,
    "models/daily.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='microbatch', event_time='ts',
            batch_size='day', lookback=1, begin='2026-10-28', concurrent_batches=false
        ) }}
        select ts, '{{ var("run_date") }}' as day, '{{ var("who") }}' as who,
            {{ env_var('BREAK', '1') }} as v
        from {{ ref('readings') }}
    """,
    "dbtorch.yml": """
        defaults: {retries: 0}
        pipelines:
          one_day:
            schedule: {cron: "0 0 * * *"}
            vars: {run_date: "{{ run.logical_date.date() }}", who: nobody}
            microbatch: interval
          as_of:
            schedule: {cron: "0 0 * * *"}
            vars: {run_date: "{{ run.data_interval_end.date() }}", who: nobody}
          by_hand:
            vars: {run_date: "{{ run.logical_date.date() }}"}
            microbatch: interval
    """,
}


@over(SESSION_1_11, PROCESS_2)
def test_what_a_pipeline_stands_for_reaches_dbt(workspace: Workspace, driven: Driven) -> None:
    workspace.write(DAYS)
    said = workspace.dbtorch("run", "-p", "by_hand", code=2).err
    assert "dbtorch.yml:10: vars of pipeline by_hand: " in said
    assert "known only after dbt has started" in said

    as_of = ("run", "-p", "as_of", "--logical-date", "2026-10-30")  # the table is not there yet
    workspace.dbtorch(*as_of, "--vars", "{who: me}")
    days = workspace.query(
        "select ts::date::text, min(day), min(who), count(*) from daily group by 1"
    )
    assert sorted(days) == [(f"2026-10-{day}", "2026-10-31", "me", 24) for day in (28, 29, 30)]

    day = ("run", "-p", "one_day", "--logical-date", "2026-11-03")
    workspace.dbtorch(*day, code=1, env={"BREAK": "nope"})
    workspace.dbtorch("retry")
    days = workspace.query(
        "select day, who, count(*), min(ts)::text from daily where ts >= '2026-11-01' group by 1, 2"
    )
    assert days == [("2026-11-03", "nobody", 24, "2026-11-03 00:00:00")]

    workspace.dbtorch("run", "-p", "as_of", "--logical-date", "2026-11-04")  # and the day before
    days = workspace.query(
        "select day, min(ts)::text, count(*) from daily where ts >= '2026-11-01' group by 1"
    )
    by_dbt_2 = [
        ("2026-11-05", "2026-11-04 00:00:00", 24)
    ]  # which counts that day as looked back to
    by_dbt_1 = [("2026-11-05", "2026-11-03 00:00:00", 48)]
    assert [one for one in days if one[0] != "2026-11-03"] == (
        by_dbt_2 if driven is PROCESS_2 else by_dbt_1
    )
