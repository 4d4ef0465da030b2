"""What happened, on its way to the loop: from engines, steps, signals and people."""

from __future__ import annotations

import contextlib
import queue
from dataclasses import dataclass, replace

from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.records import Action
from dbtorch.core.model.events import (
    Ended,
    Finished,
    Report,
)
from dbtorch.core.model.reason import Reason

#: Seconds that dbt has after a cancel to end queries and hooks and to write its artifacts. Most
#: of it is for a second dbt that reads a large project, where the first one had to be killed.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Somebody wants the run to stop: a signal, a lost lease."""

    reason: Reason
    within: float = PATIENCE  # seconds after which dbt is not waited for any longer


@dataclass(frozen=True, slots=True)
class StartsPaused:
    """Whether nothing may start for now; what is under way goes on."""

    yes: bool


@dataclass(frozen=True, slots=True)
class Requested:
    """Somebody asks for the run, or for one node of it, to be cancelled."""

    action: Action


Message = Report | StartsPaused | Interrupt | Requested


class Inbox:
    """Where engines, steps and signal handlers leave what happened."""

    def __init__(self, hide: Scrubber | None = None) -> None:
        """``hide`` takes secrets out of what attempts say, before anybody hears of it."""
        self._hide = hide or Scrubber()
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def put(self, event: Message) -> None:
        """Leave something; safe from any thread and from signal handlers."""
        if isinstance(event, Finished | Ended):
            event = self._without_secrets(event)
        self._queue.put(event)

    def _without_secrets(self, event: Finished | Ended) -> Finished | Ended:
        hide = self._hide
        if isinstance(event, Ended):
            return replace(event, reason=hide(event.reason))
        outcome = event.outcome
        shown = replace(outcome, message=hide(outcome.message))
        if hide:
            details = hide.json(outcome.details)
            shown = replace(shown, details=details, output=hide.json(outcome.output))
        return replace(event, outcome=shown)

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
