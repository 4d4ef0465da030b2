"""What becomes of queries when this process, or the supervisor, is suddenly no more."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Any

#: Seconds the warehouse has to take note of what is cancelled.
PATIENCE = 5.0

#: The first Postgres that looks after its clients while a query runs.
_LOOKS_AFTER_CLIENTS = 14_00_00


def end_queries_with_us() -> None:
    """Let Postgres end a query within two seconds when this process has gone, however it went.

    Otherwise a query goes on to its end, with all its locks, and only then is the client missed:
    https://www.postgresql.org/docs/current/runtime-config-connection.html (14 and later, where the
    server's system can tell). One more round trip for each connection.
    """
    module = sys.modules.get("dbt.adapters.postgres.connections")
    if module is None:
        return
    manager = module.PostgresConnectionManager
    opens = manager.open.__func__

    def open_watched(cls: Any, connection: Any) -> Any:
        was_open = connection.state == "open"
        connection = opens(cls, connection)
        if not was_open:
            with contextlib.suppress(Exception):  # it is a precaution
                _watch(connection.handle)
        return connection

    manager.open = classmethod(open_watched)


def _watch(handle: Any) -> None:
    if handle.server_version < _LOOKS_AFTER_CLIENTS:
        return
    before = handle.autocommit
    handle.autocommit = True  # or the setting would go with the first rollback
    try:
        with handle.cursor() as cursor:
            cursor.execute("set client_connection_check_interval = '2s'")
    finally:
        handle.autocommit = before


def vanish(task: Any) -> None:
    """Cancel what every connection runs, then end this process and all that it started.

    Nobody is left to record what happens: the warehouse must not go on without a ledger.
    """
    if task is not None:
        cancels = threading.Thread(target=_cancel_all, args=(task,), daemon=True)
        cancels.start()
        cancels.join(PATIENCE)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(70)


def _cancel_all(task: Any) -> None:
    from dbt.adapters.factory import get_adapter

    with contextlib.suppress(Exception):
        adapter = get_adapter(task.config)
        connections = list(adapter.connections.thread_connections.values())
        busy = [one for one in connections if str(one.state) == "open"]
        if not busy or not adapter.is_cancelable():
            return
        with adapter.connection_named("dbtorch-cancel"):
            for connection in busy:
                with contextlib.suppress(Exception):
                    adapter.connections.cancel(connection)
