"""The queue in the Postgres of the history: procrastinate. The only module that knows it.

It is asked for nothing but to bring a token: who may work on what is the store's to say, a job is
never tried again by itself, and what is left of one whose worker has died nobody misses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.install_command import install_command
from dbtorch.adapters.store.postgres import CONNECT_TIMEOUT, without_password
from dbtorch.core.errors import QueueError

if TYPE_CHECKING:
    import procrastinate

log = logging.getLogger(__name__)

#: The one task there is.
_TASK = "dbtorch.attempt"

#: Seconds between two looks for work, where the server's word of it gets lost (some poolers).
_LOOK_EVERY = 2.0

#: Seconds between two tries to reach a server that is away.
_TRY_AGAIN = (1.0, 15.0)

#: Two that make the tables at once wait for each other; any number of our own.
_LOCK = "SELECT pg_advisory_xact_lock(748230158)"
_HAS_TABLES = """
    SELECT 1 FROM pg_catalog.pg_tables
    WHERE tablename = 'procrastinate_jobs' AND schemaname = ANY (current_schemas(false))
"""

# Of workers that are known no more: their jobs would be there for ever.
_TIDY = """
    DELETE FROM procrastinate_jobs
    WHERE task_name = %(task)s AND status = 'doing' AND worker_id IS NULL
"""


class PostgresQueue:
    """Implements `Queue` over procrastinate, in the database of a URL."""

    def __init__(self, url: str) -> None:
        """Raise `QueueError` where procrastinate is missing; nothing is connected yet."""
        try:
            import procrastinate
            import psycopg
        except ImportError as error:
            words = install_command(sys.executable, ["'dbtorch[workers]'"])
            raise QueueError(f"steps with a queue need procrastinate: {words}") from error
        self._procrastinate = procrastinate
        self._psycopg = psycopg
        self._url = url
        self._name = without_password(url)
        self._lock = threading.Lock()
        self._sender: procrastinate.App | None = None
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        for name in ("procrastinate", "psycopg.pool"):  # it says all that it does
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def send(self, queue: str, token: str) -> None:
        """Put a token there, unless it waits there already. Raises `QueueError`."""
        waits = self._procrastinate.exceptions.AlreadyEnqueued
        with self._lock, self._explained(), contextlib.suppress(waits):
            if self._sender is None:
                self._make_tables()
                connector = self._procrastinate.SyncPsycopgConnector(**self._pool(1))
                self._sender = self._procrastinate.App(connector=connector)
                self._sender.open()
            job = self._sender.configure_task(_TASK, queue=queue, queueing_lock=token)
            job.defer(token=token)

    def serve(self, queues: Sequence[str], work: Callable[[str], None], *, at_once: int) -> None:
        """Call ``work`` with each token that comes, in threads, until `stop`."""
        pause, longest = _TRY_AGAIN
        deaf = False
        while not self._stopped.is_set():
            try:
                with self._explained():
                    self._make_tables()
                    asyncio.run(self._serve(list(queues), work, at_once))
                pause, deaf = _TRY_AGAIN[0], False
            except QueueError as error:
                if not deaf:
                    log.warning("%s; it is tried again", error)
                deaf = True
            self._stopped.wait(pause)
            pause = min(longest, pause * 2)

    def stop(self) -> None:
        """Take no more tokens; from any thread, more than once."""
        self._stopped.set()
        with self._lock, contextlib.suppress(RuntimeError):  # the loop has just ended
            if self._loop is not None and self._serving is not None:
                self._loop.call_soon_threadsafe(self._serving.cancel)

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            sender, self._sender = self._sender, None
        if sender is not None:
            with contextlib.suppress(self._procrastinate.exceptions.ProcrastinateException):
                sender.close()

    async def _serve(self, queues: list[str], work: Callable[[str], None], at_once: int) -> None:
        """Serve until it is stopped, or the server has gone."""
        pool = self._pool(at_once + 3)
        app = self._procrastinate.App(connector=self._procrastinate.PsycopgConnector(**pool))
        threads = ThreadPoolExecutor(at_once, thread_name_prefix="dbtorch-attempt")
        loop = asyncio.get_running_loop()

        async def attempt(token: str) -> None:
            try:
                await loop.run_in_executor(threads, work, token)
            except Exception:  # procrastinate's own word of it is not heard
                log.exception("token %s", token)

        app.task(name=_TASK)(attempt)
        with threads:
            async with app.open_async():
                serving = asyncio.create_task(
                    app.run_worker_async(
                        queues=queues,
                        concurrency=at_once,
                        fetch_job_polling_interval=_LOOK_EVERY,
                        delete_jobs="always",
                        install_signal_handlers=False,
                    )
                )
                with self._lock:
                    self._loop, self._serving = loop, serving
                if self._stopped.is_set():
                    serving.cancel()  # it ends when what it has begun has
                try:
                    with contextlib.suppress(asyncio.CancelledError):
                        await serving
                finally:
                    with self._lock:
                        self._loop = self._serving = None

    def _pool(self, most: int) -> dict[str, Any]:
        parameters = {"connect_timeout": CONNECT_TIMEOUT, "application_name": "dbtorch-queue"}
        return {
            "conninfo": self._url,
            "kwargs": parameters,
            "min_size": 1,
            "max_size": most,
            "timeout": 4.0 * CONNECT_TIMEOUT,
        }

    def _make_tables(self) -> None:
        """Make procrastinate's tables where there are none, and forget what the dead have left."""
        with self._psycopg.connect(self._url, connect_timeout=CONNECT_TIMEOUT) as connection:
            connection.execute(_LOCK)
            if connection.execute(_HAS_TABLES).fetchone() is None:
                made = self._procrastinate.schema.SchemaManager.get_schema()
                connection.execute(made)
            connection.execute(_TIDY, {"task": _TASK})

    @contextlib.contextmanager
    def _explained(self) -> Any:
        try:
            yield
        except (
            self._psycopg.Error,
            self._procrastinate.exceptions.ProcrastinateException,
            OSError,
        ) as error:
            cause: BaseException = error.__cause__ or error
            why = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
            raise QueueError(f"the queue in {self._name} does not work: {why}") from error
