"""What the end of a run needs is imported while dbt sets out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib import import_module

from dbtorch.core.events import Changed
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.core.state import State

#: Seconds in which a batch that is on its way gets to dbt.
_MOMENT = 0.05

#: Nodes that are no work of dbt's or a step's.
_ENDS = (SESSION_OPEN, SESSION_CLOSE)


def preparing_the_end() -> Callable[[Sequence[Changed]], None]:
    """A listener that does so once, a moment after the first node is on its way to dbt.

    Before, dbt would wait for it; later, dbt has use for every core.
    """
    timers: list[threading.Timer] = []

    def prepare(changes: Sequence[Changed]) -> None:
        if not timers and any(_is_on_its_way(change) for change in changes):
            timers.append(threading.Timer(_MOMENT, import_module, ("dbtorch.core.summary",)))
            timers[0].daemon = True
            timers[0].start()

    return prepare


def _is_on_its_way(change: Changed) -> bool:
    return change.node_id not in _ENDS and change.state is State.QUEUED
