"""Whatever stands in a cell of the history, a command shows the rest or says what is wrong."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.evil import VALUES
from tests.unit.spoken import RUN, Shell, a_history, a_project

READERS = (
    ("runs",),
    ("runs", "--format", "json"),
    ("runs", "-p", "daily", "--limit", "3"),
    ("show",),
    ("show", "--format", "json"),
    ("show", RUN, "--all"),
    ("logs", "latest", "fct_orders"),
    ("logs", "latest", "fct_orders", "--format", "json"),
    ("mark", "latest", "fct_orders", "success", "--reason", "fuzz"),
    ("cancel", "latest", "--no-wait"),
    ("alerts", "list", "--all"),
    ("alerts", "list", "--all", "--format", "json"),
    ("status",),
    ("status", "--format", "json"),
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A healthy history with a row in every table that commands read."""
    folder = a_project(tmp_path_factory.mktemp("healthy"))
    path = a_history(folder)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def cells(path: Path) -> Iterator[tuple[str, str]]:
    """Every table that has a row, with each of its columns."""
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in names:
            if database.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone():
                for column in database.execute(f"PRAGMA table_info('{table}')"):
                    yield table, column[1]


def damage(path: Path, table: str, column: str, value: object) -> bool:
    """Write a value into a column of all rows; False where the database itself refuses that."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("PRAGMA synchronous = OFF")  # nobody wants it after a power cut
        try:
            database.execute(f'UPDATE "{table}" SET "{column}" = ?', (value,))
        except (sqlite3.IntegrityError, sqlite3.DataError, UnicodeEncodeError):
            return False
        database.commit()
        return True


def test_any_value_in_any_cell(
    history: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_project(tmp_path / "shop")
    path = folder / ".dbtorch" / "dbtorch.db"
    path.parent.mkdir()
    path.write_bytes(history)
    chance, shell = random.Random(14), Shell(folder, capsys)
    all_cells = list(cells(path))
    assert len(all_cells) > 40
    for table, column in all_cells:
        for value in chance.sample(VALUES, 12):
            path.write_bytes(history)
            for other in path.parent.glob("dbtorch.db-*"):
                other.unlink()
            if damage(path, table, column, value):
                for words in chance.sample(READERS, 2):
                    try:
                        shell(*words, "--project-dir", str(folder))
                    except BaseException as error:
                        error.add_note(f"{table}.{column} = {str(value)[:100]!r}, {words}")
                        raise
