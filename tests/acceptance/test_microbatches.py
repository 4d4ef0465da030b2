"""A run builds all the batches that it stands for, whoever was killed while they were built."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime

import duckdb

from tests.acceptance.workspace import PATIENCE, Workspace, eventually
from tests.engines import PROCESS_1_11, PROCESS_2, SESSION_1_10, SESSION_1_11, SESSION_1_12, over
from tests.gates import Gate

THIS_YEAR = datetime.now(UTC).year

#: Batches of the first build, in order.
YEARS = list(range(THIS_YEAR - 4, THIS_YEAR + 1))


def files(gates: Mapping[int, Gate]) -> dict[str, str]:
    """A model of a batch a year, which stands still in some until their file `open-YEAR` is there."""
    waits = "".join(
        f"""
            {{% elif model.batch.id == '{year}' and
                run_query("from glob('open-{year}')").rows | length == 0 %}}
                {{% do run_query("from {gate.sql}") %}}
        """
        for year, gate in gates.items()
    )
    return {
        "models/readings.sql": f"""
            {{{{ config(materialized='table', event_time='ts') }}}}
            select make_timestamp(y, 3, 1, 0, 0, 0.0) as ts
            from range({YEARS[0]}, {YEARS[-1] + 1}) t(y)
        """,
        "models/years.sql": f"""
            {{{{ config(
                materialized='incremental', incremental_strategy='microbatch', event_time='ts',
                batch_size='year', lookback=0, begin='{YEARS[0]}-01-01', concurrent_batches=false
            ) }}}}
            select ts, {{{{ env_var('BREAK', '1') }}}} as v, '{{{{ run_started_at }}}}' as began
            from {{{{ ref('readings') }}}}
            {{% if not model.batch %}}{waits}{{% endif %}}
        """,
        "models/after_years.sql": "select count(*) as n from {{ ref('years') }}",
        "dbtorch.yml": "defaults: {retries: 2, retry_delay: 0s}",
    }


def built(workspace: Workspace) -> list[int]:
    """Years that are in the table, each as often as it is."""
    return [year for (year,) in workspace.query("select year(ts) from years order by 1")]


def kill_dbt(workspace: Workspace) -> None:
    """What the out-of-memory killer does; returns when it is gone."""
    pid = workspace.dbts()[0]  # another one may be getting ready
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: pid not in workspace.processes(), seconds=PATIENCE)


@over(SESSION_1_11, SESSION_1_10, SESSION_1_12, PROCESS_1_11, PROCESS_2)
def test_whoever_is_killed_within_a_batch_all_of_them_are_built(workspace: Workspace) -> None:
    second, fourth = Gate(workspace.home / "second"), Gate(workspace.home / "fourth")
    workspace.write(files({YEARS[1]: second, YEARS[3]: fourth}))
    with workspace.started("run") as run:
        second.wait()
        workspace.write({f"open-{YEARS[1]}": ""})
        kill_dbt(workspace)
        fourth.wait()  # the second attempt, which does not begin with the first batch
        os.kill(run.pid, signal.SIGKILL)
        run.process.wait()
        assert workspace.is_quiet()
    assert built(workspace) == YEARS[:3]
    workspace.write({f"open-{YEARS[3]}": ""})
    workspace.dbtorch("retry")
    assert built(workspace) == YEARS
    assert workspace.query("select n from after_years") == [(len(YEARS),)]


def failing(year: int) -> dict[str, str]:
    return {"BREAK": f"case when year(ts) = {year} then error('bad batch') else 1 end"}


def began(workspace: Workspace) -> list[int]:
    """Years by the newest run that built any."""
    newest = "(select max(began) from years)"
    found = workspace.query(f"select year(ts) from years where began = {newest} order by 1")
    return [year for (year,) in found]


def test_a_batch_that_failed_is_built_by_a_retry_also_of_a_full_refresh(
    workspace: Workspace,
) -> None:
    """A full refresh makes the table anew with its first batch, so all of them belong to it."""
    workspace.write(files({}))
    workspace.dbtorch("run", code=1, env=failing(YEARS[1]))
    assert built(workspace) == [YEARS[0], *YEARS[2:]]
    workspace.dbtorch("retry")
    assert built(workspace) == YEARS
    log = workspace.dbtorch("logs", "latest", "years").out
    assert f"Batch 1 of 1 START batch {YEARS[1]}" in log, log

    workspace.dbtorch("run", "--full-refresh", code=1, env=failing(YEARS[1]))
    assert built(workspace) == [YEARS[0], *YEARS[2:]]
    with duckdb.connect(str(workspace.dir / "warehouse.duckdb")) as warehouse:
        warehouse.execute("drop table readings")
    said = workspace.dbtorch("retry").out
    assert "no relation is there any more of model.shop.readings; runs again" in said
    assert built(workspace) == began(workspace) == YEARS

    # the newest batch is all that another run stands for
    workspace.dbtorch("run")
    assert built(workspace) == YEARS
    assert began(workspace) == YEARS[-1:]


@over(PROCESS_1_11, PROCESS_2)
def test_what_failed_before_its_first_batch_is_built_by_a_retry(workspace: Workspace) -> None:
    """Nothing of it was built, so it stands for what it stood for."""
    workspace.write(files({}))
    years = workspace.dir / "models" / "years.sql"
    sound = years.read_text().replace("lookback=0", "lookback=1")  # with 0 dbt 2 builds none
    broken = "{% if execute %}{{ exceptions.raise_compiler_error('no') }}{% endif %}" + sound
    others = years.with_name("others.sql")
    years.write_text(sound)
    workspace.dbtorch("run")
    assert built(workspace) == YEARS
    years.write_text(broken)
    others.write_text(broken)
    workspace.dbtorch("run", code=1)
    assert workspace.show().names("failed") == {"years", "others"}
    years.write_text(sound)
    others.write_text(sound)
    with duckdb.connect(str(workspace.dir / "warehouse.duckdb")) as warehouse:
        warehouse.execute("drop table readings")
    said = workspace.dbtorch("retry").out
    assert "no relation is there any more of model.shop.readings; runs again" in said
    # of one that was there, the newest batches: lookback means otherwise in dbt 2
    assert built(workspace) == YEARS
    assert began(workspace) in (YEARS[-1:], YEARS[-2:])
    # and of one that was not, all of them
    assert workspace.query("select year(ts) from others order by 1") == [(one,) for one in YEARS]
