"""Closing what dbt has open, as it does itself when Python ends."""

from __future__ import annotations

import contextlib
import sys
from typing import Any


def close_connections() -> None:
    """Close what every adapter has open, and write DuckDB's log into its file, as dbt's end does.

    Whoever copies or uploads the file would have nothing otherwise.
    """
    factory = sys.modules.get("dbt.adapters.factory")
    for adapter in list(factory.FACTORY.adapters.values()) if factory is not None else ():
        with contextlib.suppress(Exception):
            adapter.cleanup_connections()
        with contextlib.suppress(Exception):
            close_database_file(adapter)


def close_database_file(adapter: Any) -> None:
    """Close the file that dbt-duckdb keeps open (`keep_open`); the next connection opens it."""
    environment = getattr(adapter.connections, "_ENV", None)
    if adapter.type() != "duckdb" or environment is None:
        return
    with environment.lock:
        with contextlib.suppress(Exception):  # what somebody else writes is not to be had
            _checkpoint(environment.conn)
        environment.close()


def _checkpoint(connection: Any) -> None:
    """Do what closing does, for files that a forsaken node still has open."""
    files = connection.execute(
        "select database_name from duckdb_databases()"
        " where type = 'duckdb' and path is not null and not internal and not readonly"
    )
    for (name,) in files.fetchall():
        with contextlib.suppress(Exception):
            connection.execute('checkpoint "{}"'.format(name.replace('"', '""')))
