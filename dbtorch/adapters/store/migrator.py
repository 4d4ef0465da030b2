"""Brings the tables of a store to the version this dbtorch knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dbtorch.adapters.store.database import Database, Transaction
from dbtorch.core.errors import StoreError

_FOLDER = Path(__file__).parent / "migrations"
_TABLE = "dbtorch_schema_version"

#: The oldest schema that is read as it is. A migration after it only adds, and where a reader needs
#: what it adds, `rows` says what holds without.
READABLE = 9


def migrate(database: Database, folder: Path | None = None) -> None:
    """Apply what is missing. Raises `StoreError` for a store that a newer dbtorch has written."""
    migrations = dict(_migrations(folder))
    newest = max(migrations)
    found = version(database)
    while found < newest:
        found = database.write(_step, database, migrations)
    _refuse_newer(database, found, newest)


def check(database: Database, *, writes: bool = False, folder: Path | None = None) -> int:
    """The version of a store that stays as it is. Raises `StoreError` if it is of no use so.

    What ``writes`` needs the newest; what reads takes older ones, from `READABLE` on.
    """
    found, newest = version(database), newest_version(folder)
    _refuse_newer(database, found, newest)
    needed = newest if writes else READABLE
    if 0 < found < needed:
        raise StoreError(
            f"{database.driver.name} was written by an older dbtorch (schema {found}, this one"
            f" needs {needed}): `dbtorch db upgrade` brings it up to date, and so does the next"
            " `dbtorch run`; older ones cannot use it any more then"
        )
    return found


def newest_version(folder: Path | None = None) -> int:
    """The version that this dbtorch writes."""
    return max(dict(_migrations(folder)))


def _refuse_newer(database: Database, found: int, newest: int) -> None:
    if found > newest:
        raise StoreError(
            f"{database.driver.name} was written by a newer dbtorch (schema {found}, this one"
            f" knows {newest}): upgrade dbtorch"
        )


def version(database: Database) -> int:
    """The last migration that was applied; 0 when there is none."""
    return database.read(_version, database)


def _version(transaction: Transaction, database: Database) -> int:
    if transaction.one(database.driver.has_table, {"name": _TABLE}) is None:
        return 0
    row = transaction.one(f"SELECT max(version) AS version FROM {_TABLE}")
    return int(row["version"] or 0) if row is not None else 0


def _step(transaction: Transaction, database: Database, migrations: dict[int, Path]) -> int:
    """Apply the next migration, unless another process has just done it."""
    for statement in (database.driver.take_time, database.driver.lock_schema):
        if statement is not None:
            transaction.run(statement)
    found = _version(transaction, database)
    if found >= max(migrations):
        return found
    if found == 0:
        transaction.run(f"CREATE TABLE IF NOT EXISTS {_TABLE} (version INTEGER PRIMARY KEY)")
    following = min(number for number in migrations if number > found)
    for statement in _statements(migrations[following]):
        transaction.run(statement)
    transaction.run(f"INSERT INTO {_TABLE} (version) VALUES (:version)", {"version": following})
    return following


def _migrations(folder: Path | None) -> Iterator[tuple[int, Path]]:
    for path in (folder or _FOLDER).glob("*.sql"):
        yield int(path.name.partition("_")[0]), path


def _statements(path: Path) -> list[str]:
    """Statements of a file; its comments and texts hold no semicolon."""
    lines = path.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in text.split(";") if statement.strip()]
