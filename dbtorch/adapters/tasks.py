"""Short tasks for a few threads, however many wait."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Tasks:
    """At most so many threads, made when they are needed; nobody waits for them at the end."""

    def __init__(self, threads: int, name: str) -> None:
        self._most = threads
        self._name = name
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, task: Callable[[], object]) -> None:
        """Have it done by and by; what it raises is logged."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        self._queue.put(task)

    def close(self) -> None:
        """Begin nothing more that is submitted from now on."""
        for _ in range(self._most):
            self._queue.put(None)

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                task()
            except Exception:
                log.exception("a task of %s", self._name)
            with self._lock:
                self._idle += 1
