"""Writes every change before anybody acts on it."""

from __future__ import annotations

from collections.abc import Sequence

from dbtorch.core.events import Changed
from dbtorch.core.history import Lease
from dbtorch.ports import Store


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
