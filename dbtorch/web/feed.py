"""What changes in runs, read once a moment for everybody who looks at one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any

from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import RunChanges
from dbtorch.core.model.state import RunState
from dbtorch.core.text.json_text import to_json
from dbtorch.ports.store import Store
from dbtorch.service.history.lookup import INTERRUPTED, is_driven
from dbtorch.service.history.run_page import changes_json

#: Seconds between two looks at a run; every so many of them somebody asks whether it still lives.
_EVERY = 0.5
_ALIVE_EVERY = 8

#: Looks in a row without an answer after which those who watch are told.
_TROUBLE = 4


class Message(dict[str, Any]):
    """What everybody is told who watches a run."""

    @cached_property
    def text(self) -> str:
        """Its JSON, made once however many watch."""
        return to_json(self)


_SILENT = Message(trouble="the history does not answer")


def changes(store: Store, run_id: str, after: int) -> Message | None:
    """What has changed after a sequence number; None for a run that is not there.

    Raises `StoreError`.
    """
    found = store.run_changes(run_id, after=after)
    return None if found is None else Message(changes_json(found, _state(store, run_id, found)))


def _state(store: Store, run_id: str, found: RunChanges) -> str:
    alive = found.state is not RunState.RUNNING or is_driven(store, run_id)
    return found.state.value if alive else INTERRUPTED


class Feed:
    """Everybody who watches a run hears of it from one reader of the history."""

    def __init__(self, store: Store) -> None:
        """``store`` is read in threads, a moment at a time."""
        self._store = store
        self._watched: dict[str, _Watched] = {}

    async def messages(self, run_id: str, after: int) -> AsyncIterator[Message]:
        """What has changed, as it does, until the run is over and that was said."""
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        watched = self._watched.get(run_id)
        if watched is None:
            watched = self._watched[run_id] = _Watched(self._store, run_id)
        watched.join(inbox, after)
        try:
            while True:
                try:
                    first = await asyncio.to_thread(changes, self._store, run_id, after)
                    break
                except StoreError:
                    yield _SILENT
                    await asyncio.sleep(_EVERY * _TROUBLE)
            if first is None:
                yield Message(gone=True)
                return
            sequence = first["sequence"]
            yield first
            while first["state"] == RunState.RUNNING:
                first = await inbox.get()
                if "sequence" not in first:
                    yield first
                    if first.get("gone"):
                        return
                    first = Message(state=RunState.RUNNING)
                elif first["sequence"] > sequence or first["state"] != RunState.RUNNING:
                    sequence = first["sequence"]
                    yield first
        finally:
            if watched.leave(inbox):
                self._watched.pop(run_id, None)


class _Watched:
    """One run that somebody watches."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._inboxes: set[asyncio.Queue[Message]] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self, inbox: asyncio.Queue[Message], after: int) -> None:
        self._inboxes.add(inbox)
        if self._task is None:
            self._task = asyncio.create_task(self._look(after))

    def leave(self, inbox: asyncio.Queue[Message]) -> bool:
        """Answers whether nobody watches any more."""
        self._inboxes.discard(inbox)
        if not self._inboxes and self._task is not None:
            self._task.cancel()
        return not self._inboxes

    async def _look(self, sequence: int) -> None:
        state, looks, silent = RunState.RUNNING.value, 0, 0
        while True:
            await asyncio.sleep(_EVERY)
            looks += 1
            try:
                found = await asyncio.to_thread(
                    self._store.run_changes, self._run_id, after=sequence
                )
                if found is None:
                    self._tell(Message(gone=True))
                    return
                now = found.state.value
                if now == RunState.RUNNING and looks % _ALIVE_EVERY == 0:
                    now = await asyncio.to_thread(_state, self._store, self._run_id, found)
            except StoreError:
                silent += 1
                if silent == _TROUBLE:
                    self._tell(_SILENT)
                continue
            if silent >= _TROUBLE:
                self._tell(Message(trouble=""))
            silent = 0
            if found.sequence > sequence or now != state:
                sequence, state = found.sequence, now
                self._tell(Message(changes_json(found, now)))

    def _tell(self, message: Message) -> None:
        for inbox in self._inboxes:
            inbox.put_nowait(message)
