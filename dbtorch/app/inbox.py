"""What happened, on its way to the loop: from engines, steps, signals and people."""

from __future__ import annotations

import contextlib
import queue
from dataclasses import dataclass

from dbtorch.core.events import Event, Outdated
from dbtorch.core.history import Action

#: Seconds that dbt has after a cancel to end queries and hooks and to write its artifacts. Most
#: of it is for a second dbt that reads a large project, where the first one had to be killed.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Somebody wants the run to stop: a signal, a lost lease."""

    reason: str
    within: float = PATIENCE  # seconds after which dbt is not waited for any longer


@dataclass(frozen=True, slots=True)
class Requested:
    """Somebody asks for the run, or for one node of it, to be cancelled."""

    action: Action


Message = Event | Interrupt | Outdated | Requested


class Inbox:
    """Where engines, steps and signal handlers leave what happened."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def put(self, event: Message) -> None:
        """Leave something; safe from any thread and from signal handlers."""
        self._queue.put(event)

    def take(self, timeout: float | None) -> list[Message]:
        """Wait for something, at most ``timeout`` seconds, then take all that is there."""
        with contextlib.suppress(queue.Empty):
            found = [self._queue.get(timeout=timeout)]
            while True:
                try:
                    found.append(self._queue.get_nowait())
                except queue.Empty:
                    return found
        return []
