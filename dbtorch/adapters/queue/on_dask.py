"""The queue of a team that has a Dask cluster already. The only module that knows Dask.

A worker of dbtorch is one of the cluster's: a task of ours asks for a resource that has the name of
the queue, so that no other worker gets it. It carries a token and returns nothing; what becomes of
an attempt is in the history before the task ends. Dask tries none again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dbtorch.adapters.install_command import install_command
from dbtorch.core.errors import QueueError

log = logging.getLogger(__name__)

#: Name of what a worker knows our work by.
_PLUGIN = "dbtorch"

#: Seconds for the scheduler's answer, and until it is asked again.
_CONNECT_TIMEOUT, _TRY_AGAIN = 10.0, 2.0

#: Of Dask's configuration: its sampling of threads costs CPU, and shows none of our processes.
_CONFIG = {
    "distributed.comm.timeouts.connect": f"{_CONNECT_TIMEOUT:g}s",
    "distributed.worker.profile.enabled": False,
}


class DaskQueue:
    """Implements `Queue` over the scheduler at an address, ``tcp://host:8786`` say."""

    def __init__(self, url: str) -> None:
        """Raise `QueueError` where Dask is missing; nothing is connected yet."""
        try:
            import dask
            import distributed
        except ImportError as error:
            words = install_command(sys.executable, ["'dbtorch[dask]'"])
            raise QueueError(f"a queue in a Dask cluster needs distributed: {words}") from error
        dask.config.set(_CONFIG)
        self._dask: Any = distributed
        self._url = url
        self._lock = threading.Lock()
        self._client: Any = None
        self._stopped = threading.Event()
        self._wakes: Callable[[], object] = _nothing
        for name in ("distributed", "distributed.client", "distributed.worker"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it says all that it does

    def send(self, queue: str, token: str) -> None:
        """Put a token there, unless it waits there already. Raises `QueueError`."""
        with self._lock:
            try:
                with self._explained():
                    self._submit(queue, token)
            except QueueError:
                self._hang_up()  # the next one connects anew
                raise

    def serve(self, queues: Sequence[str], work: Callable[[str], None], *, at_once: int) -> None:
        """Call ``work`` with each token that comes, in threads, until `stop`."""
        deaf = False
        while not self._stopped.is_set():
            try:
                with self._explained():
                    asyncio.run(self._serve(queues, work, at_once))
                deaf = False
            except QueueError as error:
                if not deaf:
                    log.warning("%s; it is tried again", error)
                deaf = True
            self._stopped.wait(_TRY_AGAIN)

    def stop(self) -> None:
        """Take no more tokens; from any thread, more than once."""
        self._stopped.set()
        with self._lock:
            self._wakes()

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            self._hang_up()

    def _submit(self, queue: str, token: str) -> None:
        if self._client is None:
            self._client = self._dask.Client(
                self._url, timeout=_CONNECT_TIMEOUT, name="dbtorch", set_as_default=False
            )
        future = self._client.submit(
            attempt,
            token,
            key=f"{queue}-{token}",  # the scheduler has a key once
            resources={queue: 1},
            retries=0,
            pure=False,
        )
        self._dask.fire_and_forget(future)  # it outlives whoever has sent it
        future.release()

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError):
                client.close(timeout=_CONNECT_TIMEOUT)

    async def _serve(
        self, queues: Sequence[str], work: Callable[[str], None], at_once: int
    ) -> None:
        """Be one of the cluster's workers until that is stopped, or the scheduler has gone."""
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._lock:
            if self._stopped.is_set():
                return
            self._wakes = lambda: loop.call_soon_threadsafe(stopped.set)
        mine = _Work(work)
        worker = self._dask.Worker(
            self._url,
            nthreads=at_once,
            resources=dict.fromkeys(queues, at_once),
            memory_limit=0,  # steps are processes of their own
        )
        worker.plugins[_PLUGIN] = mine
        try:
            async with asyncio.timeout(2 * _CONNECT_TIMEOUT):
                await worker
            ends = [asyncio.ensure_future(one) for one in (stopped.wait(), worker.finished())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if stopped.is_set():
                worker.status = self._dask.Status.paused  # the scheduler gives it nothing more
            await asyncio.to_thread(mine.wait)
            if stopped.is_set():
                await worker.close_gracefully(reason="dbtorch-stopped")
        finally:
            with self._lock:
                self._wakes = _nothing
            await worker.close(timeout=_CONNECT_TIMEOUT, reason="dbtorch-ended")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (
            self._dask.client.ClosedClientError,
            OSError,
            TimeoutError,
            ValueError,
            RuntimeError,
        ) as error:
            why = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise QueueError(f"the Dask cluster at {self._url} does not work: {why}") from error


class _Work:
    """What a worker of the cluster knows: what is to be done with a token."""

    def __init__(self, work: Callable[[str], None]) -> None:
        self._work = work
        self._at_work = 0
        self._news = threading.Condition()

    def __call__(self, token: str) -> None:
        with self._news:
            self._at_work += 1
        try:
            self._work(token)
        except Exception:
            log.exception("token %s", token)
        finally:
            with self._news:
                self._at_work -= 1
                self._news.notify_all()

    def wait(self) -> None:
        """Return when nothing is in hand."""
        with self._news:
            self._news.wait_for(lambda: not self._at_work)


def attempt(token: str) -> None:
    """The one task there is; in the process of a worker of ours."""
    from distributed import get_worker

    mine: Any = get_worker().plugins[_PLUGIN]
    mine(token)


def _nothing() -> None:
    """Nobody is to be woken."""
