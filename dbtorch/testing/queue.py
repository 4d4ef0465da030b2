"""An in-memory double of what brings work to workers."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)


class MemoryQueue:
    """Implements `Queue` for supervisors and workers of one process; `beside` is for each more."""

    def __init__(self, shared: _Shared | None = None) -> None:
        self._shared = shared or _Shared()
        self._stopped = False

    def beside(self) -> MemoryQueue:
        """The same queues for another worker, which stops by itself."""
        return MemoryQueue(self._shared)

    def waiting(self, queue: str) -> list[str]:
        """Tokens that nobody has taken yet."""
        with self._shared.news:
            return list(self._shared.tokens.get(queue, ()))

    def send(self, queue: str, token: str) -> None:
        """Put a token there, unless it waits there already."""
        with self._shared.news:
            waiting = self._shared.tokens.setdefault(queue, deque())
            if token not in waiting:
                waiting.append(token)
            self._shared.news.notify_all()

    def serve(self, queues: Sequence[str], work: Callable[[str], None], *, at_once: int) -> None:
        """Call ``work`` with each token that comes, in threads, until `stop`."""
        free = threading.Semaphore(at_once)
        with ThreadPoolExecutor(at_once) as threads:
            while True:
                free.acquire()
                token = self._next(queues)
                if token is None:
                    return
                threads.submit(_worked, work, token).add_done_callback(lambda _: free.release())

    def stop(self) -> None:
        """Take no more tokens."""
        with self._shared.news:
            self._stopped = True
            self._shared.news.notify_all()

    def close(self) -> None:
        """Nothing is open."""

    def _next(self, queues: Sequence[str]) -> str | None:
        with self._shared.news:
            while not self._stopped:
                for queue in queues:
                    if waiting := self._shared.tokens.get(queue):
                        return waiting.popleft()
                self._shared.news.wait()
            return None


class _Shared:
    """What all that use a queue see."""

    def __init__(self) -> None:
        self.news = threading.Condition()
        self.tokens: dict[str, deque[str]] = {}


def _worked(work: Callable[[str], None], token: str) -> None:
    try:
        work(token)
    except Exception:
        log.exception("token %s", token)
