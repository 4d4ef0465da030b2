"""What becomes of queries when this process, or the supervisor, is suddenly no more."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .closing import close_connections

#: Seconds the warehouse has to take note of what is cancelled.
PATIENCE = 5.0

#: Variable by which a supervisor asks for that which it does not end itself.
_ENDS = "DBTORCH_ENDS_WHAT_IS_LEFT"

#: Seconds that what models have left has to end, and after which nothing more is tried.
_GRACE, _GIVE_UP = 2.0, 7.0

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


def tree() -> Any:
    """What knows the processes below one: a file of dbtorch's that is beside this package."""
    file = Path(__file__).parents[2] / "processes" / "reaping.py"
    spec = importlib.util.spec_from_file_location("_dbtorch_left_behind", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def adopt_orphans() -> None:
    """What models start, and leave, stays below this process."""
    tree().adopt_orphans()


def end_what_is_left() -> None:
    """Where the supervisor asks for it: end what models have started and left, all of it.

    To be called when dbt is done. What `multiprocessing` has started goes with this process.
    """
    if not os.environ.get(_ENDS):
        return
    known, began, asked = tree(), time.monotonic(), set[int]()
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", 0)
    while time.monotonic() < began + _GIVE_UP:
        left = known.below(os.getpid()) - {getattr(tracker, "_pid", 0)}
        left = {pid for pid in left if not known.has_ended(pid)}
        if not left:
            return
        late = time.monotonic() >= began + _GRACE
        known.signal_all(left if late else left - asked, signal.SIGKILL if late else signal.SIGTERM)
        asked |= left
        time.sleep(0.02)


def vanish(task: Any) -> None:
    """Cancel what every connection runs, then end this process and all that it started.

    Nobody is left to record what happens: the warehouse must not go on without a ledger. What has
    been done is left as a clean end leaves it.
    """
    if task is not None:
        cancels = threading.Thread(target=_end, args=(task,), daemon=True)
        cancels.start()
        cancels.join(PATIENCE)
    for pid in tree().below(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(70)


def _end(task: Any) -> None:
    cancel_once(task)
    close_connections()


def cancel_once(task: Any) -> None:
    """Cancel what every connection runs."""
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
