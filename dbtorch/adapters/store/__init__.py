"""Opening the store that a ``--database-url`` names."""

from __future__ import annotations

from pathlib import Path

from dbtorch.adapters.state_dir import make_folder, make_state_dir, state_dir
from dbtorch.adapters.store.database import Database, Driver
from dbtorch.adapters.store.locations import exists, sqlite_path
from dbtorch.adapters.store.migrator import check, migrate
from dbtorch.adapters.store.sql import ANYBODY, SqlStore
from dbtorch.core.errors import NoHistory, StoreError
from dbtorch.core.model.identity import Identity


def open_store(
    url: str | None,
    project_dir: Path,
    *,
    create: bool = True,
    writes: bool = False,
    identity: Identity = ANYBODY,
) -> SqlStore:
    """The store at ``url``, or the project's own SQLite file; its tables are up to date.

    With ``create=False`` there must be a history already, and it stays of the version it has:
    others may need that. What ``writes`` to it needs the newest. Raises `StoreError`.
    """
    database = open_database(url, project_dir, create=create, writes=create or writes)
    try:
        if create:
            migrate(database)
        elif check(database, writes=writes) == 0:
            raise _no_history(database.driver.name)  # noqa: TRY301  # with the database closed
    except BaseException:
        database.close()
        raise
    return SqlStore(database, identity)


def open_database(url: str | None, project_dir: Path, *, create: bool, writes: bool) -> Database:
    """The database of a store, whatever is in it. Raises `StoreError`."""
    return Database(_driver(url, project_dir, create=create, writes=writes))


def _driver(url: str | None, project_dir: Path, *, create: bool, writes: bool) -> Driver:
    scheme = url.partition(":")[0] if url else ""
    if not url:
        path = state_dir(project_dir) / "dbtorch.db"
        return _sqlite(path, project_dir, create=create, writes=writes)
    if scheme == "sqlite":
        path = sqlite_path(url, project_dir)
        return _sqlite(path, project_dir, create=create, writes=writes)
    if scheme in ("postgres", "postgresql") and url.startswith(f"{scheme}://"):
        from dbtorch.adapters.store.postgres import PostgresDriver

        return PostgresDriver(url)
    # Only the scheme is shown: the rest may have a password in it.
    begins = f"begins with {scheme!r}" if "://" in url else "is no URL"
    raise StoreError(
        f"--database-url {begins}, which is no store that dbtorch knows: use"
        " sqlite:///path/to/file.db or postgresql://user@host/database"
    )


def _sqlite(path: Path, project_dir: Path, *, create: bool, writes: bool) -> Driver:
    from dbtorch.adapters.store.sqlite import SqliteDriver

    if not create:
        if not exists(path):
            raise _no_history(str(path.parent))
    elif path.parent == state_dir(project_dir):
        make_state_dir(project_dir)
    else:
        make_folder(path.parent)
    return SqliteDriver(path, writes=writes)


def _no_history(place: str) -> NoHistory:
    return NoHistory(f"there is no run history yet in {place}; `dbtorch run` writes one")
