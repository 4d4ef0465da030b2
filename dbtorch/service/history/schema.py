"""Where the history of a project is, of which version, whose; and bringing it up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dbtorch.adapters.store import open_database
from dbtorch.adapters.store.database import Database
from dbtorch.adapters.store.migrator import migrate, newest_version, version
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.core.model.identity import Identity
from dbtorch.service.project.project import configured_store, open_project
from dbtorch.service.project.store_scope import identity_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The schema of a history."""

    where: str
    version: int  # 0 for a history that is not there yet
    newest: int  # that this dbtorch knows
    identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What an upgrade came to: the same version where there was nothing to do."""

    where: str
    before: int
    after: int


def schema_of(project_dir: str | None, database_url: str | None) -> Schema:
    """What there is; nothing is changed. Raises `UsageError`, `ConfigError`, `StoreError`."""
    with _opened(project_dir, database_url, writes=False) as (database, identity):
        return Schema(
            where=database.driver.name,
            version=version(database),
            newest=newest_version(),
            identity=identity,
        )


def upgrade(project_dir: str | None, database_url: str | None) -> Upgraded:
    """Bring it up to date, and take over what an older dbtorch wrote for this project.

    Raises `UsageError`, `ConfigError`, `StoreError`.
    """
    with _opened(project_dir, database_url, writes=True) as (database, identity):
        before = version(database)
        migrate(database)
        store = SqlStore(database, identity)
        for target in {*identity.places, identity.target}:
            store.adopt(target)
        return Upgraded(where=database.driver.name, before=before, after=version(database))


@contextmanager
def _opened(
    project_dir: str | None, database_url: str | None, *, writes: bool
) -> Iterator[tuple[Database, Identity]]:
    project = open_project(project_dir)
    url = configured_store(database_url, project.dir)
    identity = identity_of(project, url)
    database = open_database(url, project.dir, create=False, writes=writes)
    try:
        yield database, identity
    finally:
        database.close()
