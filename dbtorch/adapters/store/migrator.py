"""Brings the tables of a store to the version this dbtorch knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dbtorch.adapters.store.database import Database, Transaction
from dbtorch.ports import StoreError

_FOLDER = Path(__file__).parent / "migrations"
_TABLE = "dbtorch_schema_version"


def migrate(database: Database, folder: Path = _FOLDER) -> None:
    """Apply what is missing. Raises `StoreError` for a store that a newer dbtorch has written."""
    migrations = dict(_migrations(folder))
    newest = max(migrations)
    found = version(database)
    while found < newest:
        found = database.write(lambda transaction: _step(transaction, database, migrations))
    if found > newest:
        raise StoreError(
            f"{database.driver.name} was written by a newer dbtorch (schema {found}, this one"
            f" knows {newest}): upgrade dbtorch"
        )


def version(database: Database) -> int:
    """The last migration that was applied; 0 when there is none."""
    return database.read(lambda transaction: _version(transaction, database))


def _version(transaction: Transaction, database: Database) -> int:
    if transaction.one(database.driver.has_table, {"name": _TABLE}) is None:
        return 0
    row = transaction.one(f"SELECT max(version) AS version FROM {_TABLE}")
    return int(row["version"] or 0) if row is not None else 0


def _step(transaction: Transaction, database: Database, migrations: dict[int, Path]) -> int:
    """Apply the next migration, unless another process has just done it."""
    if database.driver.lock_schema is not None:
        transaction.run(database.driver.lock_schema)
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


def _migrations(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.glob("*.sql"):
        yield int(path.name.partition("_")[0]), path


def _statements(path: Path) -> list[str]:
    """Statements of a file; its comments and texts hold no semicolon."""
    lines = path.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in text.split(";") if statement.strip()]
