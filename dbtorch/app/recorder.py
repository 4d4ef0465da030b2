"""Writes every change before anybody acts on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbtorch.core.history.records import Lease
from dbtorch.core.model.events import (
    Changed,
    Progress,
)

if TYPE_CHECKING:
    from dbtorch.ports.store import Store


class Recorder:
    """The listener that comes first: what it cannot write does not happen."""

    def __init__(self, store: Store, run_id: str, lease: Lease | None = None) -> None:
        """With a lease it writes only as long as nobody has taken that over."""
        self._store = store
        self._run_id = run_id
        self._lease = lease

    def __call__(self, changes: Sequence[Changed]) -> None:
        """Commit changes. Raises `StoreError`, `LeaseLost` among them."""
        self._store.record(self._run_id, changes, lease=self._lease)

    def note(self, progress: Sequence[Progress]) -> None:
        """Commit what is known of attempts that are under way. Raises as for changes."""
        self._store.note(self._run_id, progress, lease=self._lease)
