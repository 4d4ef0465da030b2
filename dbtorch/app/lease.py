"""Keeping the lease of a pipeline while a run goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from dbtorch.core.history import Lease
from dbtorch.ports import Clock, Store, StoreError

log = logging.getLogger(__name__)

#: Renewals in the lifetime of a lease: three may be missed before somebody else may take over.
RENEWALS = 4


class LeaseKeeper:
    """Takes a lease, renews it from a thread of its own, gives it back."""

    def __init__(
        self, store: Store, lease: Lease, clock: Clock, on_lost: Callable[[str], None]
    ) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._on_lost = on_lost
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="dbtorch-lease", daemon=True)

    def __enter__(self) -> Self:
        """Take the lease. Raises `LeaseHeld`."""
        self._store.acquire(self._lease, now=self._clock.now())
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
        try:
            self._store.release(self._lease)
        except StoreError:
            log.warning("the lease could not be given back; it expires by itself")

    def _keep(self) -> None:
        while not self._done.wait(self._lease.lifetime.total_seconds() / RENEWALS):
            try:
                if not self._store.renew(self._lease, now=self._clock.now()):
                    self._on_lost("another run took over the lease of this pipeline")
                    return
            except StoreError as error:
                log.warning("the lease could not be renewed: %s", error)
