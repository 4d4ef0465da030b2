"""Hears what people ask of a run while it goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import Action, Verb

if TYPE_CHECKING:
    from dbtorch.ports.store import Store

log = logging.getLogger(__name__)

#: Seconds between two looks into the store, each one query for rows that are mostly not there.
LOOK_EVERY = 1.0

#: What a supervisor answers while it runs; everything else is done by whoever asks.
_ANSWERED = frozenset({Verb.CANCEL})


class RequestWatcher:
    """Looks into the store from a thread of its own, and hands on each request once."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        on_request: Callable[[Action], None],
        *,
        after: int = 0,
        every: float = LOOK_EVERY,
    ) -> None:
        """``after`` is the last action that an earlier execution of the run left behind."""
        self._store = store
        self._run_id = run_id
        self._on_request = on_request
        self._after = after
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dbtorch-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join(5)

    def _watch(self) -> None:
        deaf = False
        while not self._done.wait(self._every):
            try:
                self._look()
            except StoreError as error:
                if not deaf:
                    log.warning("requests to cancel cannot be heard: %s", error)
                deaf = True
            else:
                deaf = False

    def _look(self) -> None:
        for action in self._store.actions(self._run_id, after=self._after):
            self._after = action.ordinal
            if action.action in _ANSWERED and action.handled_at is None:
                self._on_request(action)
