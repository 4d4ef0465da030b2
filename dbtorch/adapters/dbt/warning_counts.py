"""What dbt warns of, gathered: each thing once, and how often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from dbtorch.core.model.dbt_warnings import DbtWarning


class DbtWarnings:
    """Warnings as they come, from whatever thread; every dbt that reads the project gives them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[DbtWarning, dict[str, int]] = {}  # by the dbt that gave it
        self._listeners: list[Callable[[DbtWarning], None]] = []

    def add(self, warning: DbtWarning, source: str = "") -> None:
        """Take note of a warning that one dbt, ``source``, has given."""
        with self._lock:
            new = warning not in self._counts
            counts = self._counts.setdefault(warning, {})
            counts[source] = counts.get(source, 0) + warning.count
            listeners = list(self._listeners) if new else []
        for listener in listeners:
            listener(warning)

    def listen(self, listener: Callable[[DbtWarning], None]) -> None:
        """Be told of each warning once, of those that are known at once."""
        with self._lock:
            known = list(self._counts)
            self._listeners.append(listener)
        for warning in known:
            listener(warning)

    def all(self) -> tuple[DbtWarning, ...]:
        """Each once, in the order they came, with the times that one dbt gave it."""
        with self._lock:
            return tuple(
                replace(warning, count=max(counts.values()))
                for warning, counts in self._counts.items()
            )
