"""Connecting an open session to the warehouse, for who asks it things and executes no node."""

from __future__ import annotations

from dbtorch.app.inbox import Inbox
from dbtorch.core.errors import EngineError
from dbtorch.core.model.events import Attempt, Batch, Finished
from dbtorch.core.plan import SESSION_OPEN
from dbtorch.ports.engine import Engine


def connect(engine: Engine, inbox: Inbox) -> None:
    """Connect. Raises `EngineError`."""
    opening = Attempt(SESSION_OPEN, 1)
    engine.start(Batch(0, (opening,)))
    while True:
        for event in inbox.take(None):
            if isinstance(event, Finished) and event.attempt == opening:
                if not event.outcome.state.ok:
                    raise EngineError(event.outcome.message)
                return
