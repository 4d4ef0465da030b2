"""A session leaves what `dbt build` leaves: a DuckDB file that is whole by itself."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import duckdb

from dbtorch.core.model.events import Attempt, Batch, Finished
from dbtorch.core.model.state import RunState
from dbtorch.core.plan import SESSION_OPEN
from tests.sessions import Session, Shop, session
from tests.waiting import PATIENCE

#: What is there in the end.
BUILT = {"fine", "other"}

#: Has a connection of its own, and does not notice that it is cancelled.
DEAF = """
    import pathlib, time

    def model(dbt, session):
        mine = session.sql("select 1 as id")
        pathlib.Path("begun").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.05)
        return mine
"""


def a_shop(tmp_path: Path) -> Shop:
    return Shop(
        tmp_path / "shop",
        {
            "models/fine.sql": "select range as id from range(1000)",
            "models/bad.sql": "select nothing",
            "models/other.sql": "{{ config(database='other') }} select 1 as id",
            "models/deaf.py": DEAF,
        },
        project="models: {shop: {+materialized: table}}",
        target={
            "type": "duckdb",
            "path": "shop.duckdb",
            "schema": "main",
            "attach": [{"path": "other.duckdb"}],
        },
    )


def rows_of_copies(shop: Shop, tmp_path: Path) -> list[int]:
    """Rows of a table in each file, for somebody who takes the file and nothing else."""
    assert [path.name for path in shop.dir.glob("*.wal")] == []
    found = []
    for name, table in (("shop", "fine"), ("other", "other")):
        copy = shutil.copy(shop.dir / f"{name}.duckdb", tmp_path / f"{name}.duckdb")
        with duckdb.connect(copy, read_only=True) as file:
            found += [row[0] for row in file.execute(f"select count(*) from {table}").fetchall()]
    return found


def test_a_run_that_fails_leaves_whole_files(tmp_path: Path) -> None:
    shop = a_shop(tmp_path)
    with session(shop, "--exclude", "deaf") as found:
        found.drive()
        assert found.run.state is RunState.FAILED
        # who is told that the session is closed may open the file at once
        assert rows_of_copies(shop, tmp_path) == [1000, 1]


def test_a_cancelled_run_leaves_whole_files_whatever_still_runs(tmp_path: Path) -> None:
    shop = a_shop(tmp_path)
    with session(shop, grace=0.1) as found:
        driving = found.in_background()
        found.until(lambda: (shop.dir / "begun").exists() and has_ended(found))
        found.interrupt()
        driving.join(PATIENCE)
        assert found.run.state is RunState.CANCELLED
        assert rows_of_copies(shop, tmp_path) == [1000, 1]


def has_ended(found: Session) -> bool:
    return {id for id, state in found.states.items() if state == "success"} >= BUILT


def test_a_session_that_is_left_in_the_middle_leaves_whole_files(tmp_path: Path) -> None:
    shop = a_shop(tmp_path)
    with session(shop, "--select", "fine", "other") as found:
        found.open()
        found.engine.accept()
        for number, id in enumerate((SESSION_OPEN, *(f"model.shop.{name}" for name in BUILT)), 1):
            found.engine.start(Batch(number, (Attempt(id, 1),)))
            found.until(partial(is_over, found, id))
    assert rows_of_copies(shop, tmp_path) == [1000, 1]


def is_over(found: Session, id: str) -> bool:
    ended = [event for event in found.heard if isinstance(event, Finished)]
    return any(event.attempt.node_id == id for event in ended)
