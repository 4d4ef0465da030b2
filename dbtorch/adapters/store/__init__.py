"""Opening the store that a ``--database-url`` names."""

from __future__ import annotations

from pathlib import Path

from dbtorch.adapters.state_dir import STATE_DIR, make_folder, state_dir
from dbtorch.adapters.store.database import Database, Driver
from dbtorch.adapters.store.locations import exists, sqlite_path
from dbtorch.adapters.store.migrator import migrate, version
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.ports import StoreError


def open_store(url: str | None, project_dir: Path, *, create: bool = True) -> SqlStore:
    """The store at ``url``, or the project's own SQLite file; its tables are up to date.

    With ``create=False`` there must be a history already. Raises `StoreError`.
    """
    driver = _driver(url, project_dir, create=create)
    database = Database(driver)
    try:
        if not create and version(database) == 0:
            raise StoreError(_no_history(driver.name))
        migrate(database)
    except BaseException:
        database.close()
        raise
    return SqlStore(database)


def _driver(url: str | None, project_dir: Path, *, create: bool) -> Driver:
    scheme = url.partition(":")[0] if url else ""
    if not url:
        return _sqlite(project_dir / STATE_DIR / "dbtorch.db", project_dir, create=create)
    if scheme == "sqlite":
        return _sqlite(sqlite_path(url, project_dir), project_dir, create=create)
    if scheme in ("postgres", "postgresql") and url.startswith(f"{scheme}://"):
        from dbtorch.adapters.store.postgres import PostgresDriver

        return PostgresDriver(url)
    # Only the scheme is shown: the rest may have a password in it.
    begins = f"begins with {scheme!r}" if "://" in url else "is no URL"
    raise StoreError(
        f"--database-url {begins}, which is no store that dbtorch knows: use"
        " sqlite:///path/to/file.db or postgresql://user@host/database"
    )


def _sqlite(path: Path, project_dir: Path, *, create: bool) -> Driver:
    from dbtorch.adapters.store.sqlite import SqliteDriver

    if not create:
        if not exists(path):
            raise StoreError(_no_history(str(path.parent)))
    elif path.parent == project_dir / STATE_DIR:
        state_dir(project_dir)
    else:
        make_folder(path.parent)
    return SqliteDriver(path)


def _no_history(place: str) -> str:
    return f"there is no run history yet in {place}; `dbtorch run` writes one"
