"""The session engine for real: retries in the open session, and dbt's artifacts afterwards."""

from __future__ import annotations

from pathlib import Path

from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.settings import Settings
from tests.parity.artifacts import invalid
from tests.sessions import Shop, session

TRANSIENT, UNKNOWN = FailureClass.TRANSIENT, FailureClass.UNKNOWN


def test_what_failed_for_a_moment_is_tried_again_in_the_same_session(tmp_path: Path) -> None:
    late = f"read_csv('{tmp_path}/{{name}}.csv')"
    shop = Shop(
        tmp_path / "shop",
        {
            "models/api.py": """
                import os

                def model(dbt, session):
                    print("noise on stdout")
                    if not os.path.exists("been_here"):
                        open("been_here", "w").close()
                        raise ConnectionError("the api is gone")
                    return session.sql("select 1 as id")
            """,
            "models/late.sql": f"select * from {late.format(name='late')}",
            # an ephemeral parent's SQL is put into its child, once for each attempt
            "models/inlined.sql": f"""
                {{{{ config(materialized='ephemeral') }}}}
                select * from {late.format(name="inlined")}
            """,
            "models/over_inlined.sql": "select * from {{ ref('inlined') }}",
            "models/child.sql": "select * from {{ ref('over_inlined') }}",
            "models/bad_data.sql": "select * from {{ ref('late') }}",
            "models/models.yml": """
                models:
                  - name: bad_data
                    columns:
                      - name: id
                        data_tests: [{not_null: {name: no_nulls}}]
            """,
            "models/bad_code.sql": "select * from nowhere",
            "models/quits.py": """
                import sys

                def model(dbt, session):
                    sys.exit("somebody quits")
                    return session.sql("select 1 as id")
            """,
        },
    )
    with session(shop) as found:
        found.when("late", State.UP_FOR_RETRY, lambda: _land(tmp_path / "late.csv", "id\n1\n,\n"))
        found.when("over_inlined", State.UP_FOR_RETRY, lambda: _land(tmp_path / "inlined.csv"))
        found.drive()

    for id, failure, says in [
        ("api", TRANSIENT, "ConnectionError: the api is gone"),
        ("late", UNKNOWN, "No files found that match the pattern"),
        ("over_inlined", UNKNOWN, "No files found that match the pattern"),
    ]:
        first, second = found.outcomes(id)
        assert (first.state, first.failure_class) == (State.FAILED, failure), id
        assert says in first.message
        assert (first.details["status"], first.details["compiled_path"] != "") == ("error", True)
        assert (second.state, second.failure_class) == (State.SUCCESS, None)
        assert second.details["status"] == "success"
        assert says in found.log(id, 1)
        assert "[OK in" in found.log(id, 2)
        assert says not in found.log(id, 2)
    twice = ["queued", "running", "up_for_retry", "queued", "running", "success"]
    assert found.history("api") == twice
    assert "select * from read_csv" in found.log("over_inlined", 2)
    assert found.states["child"] == "success"

    # a second try changes nothing about these
    (bad_code,) = found.outcomes("bad_code")
    assert bad_code.failure_class is FailureClass.CODE
    (refused,) = [found.outcomes(id) for id in found.states if "no_nulls" in id]
    assert [outcome.failure_class for outcome in refused] == [FailureClass.DATA]
    # nobody knows what `exit` meant
    assert [o.failure_class for o in found.outcomes("quits")] == [UNKNOWN] * 3
    assert found.outcome("quits").message == "somebody quits"

    assert "noise on stdout" in found.console
    results = shop.results()
    assert results["model.shop.api"] == ("success", "OK")
    assert results["model.shop.quits"] == ("error", "somebody quits")
    assert invalid(shop.dir / "target") == []


def _land(path: Path, text: str = "id\n1\n") -> None:
    path.write_text(text)


def test_a_waiting_retry_holds_no_thread(tmp_path: Path) -> None:
    waiting = [f"waits_{number}" for number in range(4)]  # twice as many as there are threads
    going_on = [f"goes_on_{number}" for number in range(5)]  # one after the other
    late = {f"models/{id}.sql": f"select * from read_csv('{tmp_path}/late')" for id in waiting}
    chain = {
        f"models/{id}.sql": f"-- {{{{ ref('{before}') }}}}\nselect 1 as id"
        for before, id in zip(["first", *going_on], going_on, strict=False)
    }
    first = {"models/first.sql": "select 1 as id"}
    shop = Shop(tmp_path / "shop", {**first, **late, **chain}, threads=2)
    urgent = {id: Settings(priority=1, retry_delay=3.0) for id in waiting}
    with session(shop, settings=urgent) as found:
        found.when(going_on[-1], State.SUCCESS, lambda: _land(tmp_path / "late"))
        found.drive()

    assert set(found.states.values()) == {"success"}
    assert [len(found.outcomes(id)) for id in waiting] == [2] * 4
    ended = [c.node_id for c in found.changes if c.state is State.SUCCESS]
    assert ended.index("model.shop.goes_on_4") < min(map(ended.index, map(_model, waiting)))


def _model(name: str) -> str:
    return f"model.shop.{name}"


def test_a_retry_of_a_microbatch_model_runs_the_batches_that_failed(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path / "shop",
        {
            "models/events.sql": """
                {{ config(materialized='table', event_time='day') }}
                select cast('2026-01-01' as timestamp) + interval (n) day as day, n
                from range(4) as days(n)
            """,
            "models/daily.sql": f"""
                {{{{ config(
                    materialized='incremental', incremental_strategy='microbatch',
                    event_time='day', batch_size='day', begin='2026-01-01'
                ) }}}}
                select day, n from {{{{ ref('events') }}}}
                {{% if model.batch and model.batch.id in ('20260102', '20260104') %}}
                where n in (select n from read_csv('{tmp_path}/late'))
                {{% endif %}}
            """,
            "models/after.sql": "select count(*) as days from {{ ref('daily') }}",
        },
    )
    days = ("--event-time-start", "2026-01-01", "--event-time-end", "2026-01-05")
    with session(shop, *days) as found:
        found.when("daily", State.UP_FOR_RETRY, lambda: _land(tmp_path / "late", "n\n1\n3\n"))
        found.when("daily", State.UP_FOR_RETRY, lambda: _replace_worker(found))
        found.drive()

    first, second = found.outcomes("daily")
    assert (first.details["status"], first.failure_class) == ("partial success", UNKNOWN)
    assert "PARTIAL SUCCESS (2/4)" in first.message
    assert "No files found that match the pattern" in first.message
    assert _batches(first.details) == (["2026-01-01", "2026-01-03"], ["2026-01-02", "2026-01-04"])
    assert (second.state, found.states["after"]) == (State.SUCCESS, "success")
    assert sorted(_batches(second.details)[0]) == [f"2026-01-0{day}" for day in (1, 2, 3, 4)]
    assert _batches(second.details)[1] == []
    for day, number in [("01", 1), ("02", 2), ("03", 1), ("04", 2)]:
        log = found.log("daily", number)
        assert f"OK created batch 2026-01-{day}" in log
        assert f"OK created batch 2026-01-{day}" not in found.log("daily", 3 - number)
    assert shop.query("select n from daily order by n") == [(0,), (1,), (2,), (3,)]
    assert invalid(shop.dir / "target") == []


def _replace_worker(found) -> None:
    """Kill it; another one goes on from there."""
    killed = found.worker
    found.kill_worker()
    found.until(lambda: found.worker != killed)


def _batches(details):
    found = details["batch_results"]
    return tuple([batch[0][:10] for batch in found[kind]] for kind in ("successful", "failed"))


def test_what_fail_fast_calls_off_was_skipped_for_dbt_too(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path / "shop",
        {
            "models/slow.sql": """
                {{ config(materialized='table') }}
                select sum(a.range * b.range) from range(9999999) a, range(999999) b
            """,
            "models/bad.py": f"""
                import os, time

                def model(dbt, session):
                    while not os.path.exists("{tmp_path}/late"):
                        time.sleep(0.1)
                    if os.path.exists("{tmp_path}/late"):
                        raise ValueError("no good")
                    return session.sql("select 1 as id")
            """,
        },
        threads=2,
    )
    with session(shop, "--fail-fast") as found:
        found.when("slow", State.RUNNING, lambda: _land(tmp_path / "late"))
        found.drive()
    assert (found.states["bad"], found.states["slow"]) == ("failed", "skipped")
    assert shop.results()["model.shop.slow"] == ("skipped", "Skipping due to fail_fast")
    assert invalid(shop.dir / "target") == []


def test_what_fail_fast_leaves_out_is_in_dbts_results(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path / "shop",
        {
            "models/flaky.sql": f"select * from read_csv('{tmp_path}/late')",
            "models/bad.sql": "select * from nowhere, {{ ref('flaky') }}",
            "models/after_bad.sql": "select * from {{ ref('bad') }}",
            "models/between.sql": "select * from {{ ref('flaky') }}",
            "models/other.sql": "select * from {{ ref('between') }}",
        },
        threads=1,
    )
    with session(shop, "--fail-fast", settings={"bad": Settings(priority=1)}) as found:
        found.when("flaky", State.UP_FOR_RETRY, lambda: _land(tmp_path / "late"))
        found.drive()

    # an attempt that is followed by another one is no failure yet
    assert [outcome.state for outcome in found.outcomes("flaky")] == [State.FAILED, State.SUCCESS]
    assert found.states["session.close"] == "success"
    results = {id.removeprefix("model.shop."): found for id, found in shop.results().items()}
    assert results["flaky"] == ("success", "OK")
    assert results["bad"][0] == "error"
    assert results["other"] == ("skipped", "Skipping due to fail_fast")
    assert results["after_bad"][0] == "skipped"
    assert invalid(shop.dir / "target") == []
