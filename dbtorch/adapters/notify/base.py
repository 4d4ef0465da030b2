"""What a kind of notifier has: a module of this package, or of another one by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dbtorch.core.outbox import Delivery
from dbtorch.ports import Notifier


class NotifierError(Exception):
    """What was configured makes no notifier; one sentence."""


class NotifierType(Protocol):
    """Three functions; ``settings`` are the keys under its name in ``alerts``, rendered."""

    def place(self, settings: Mapping[str, Any]) -> str:
        """Where it tells what no owner claims; empty where it has only one place."""

    def preview(self, delivery: Delivery) -> str:
        """What would be sent, as text to read."""

    def open(self, settings: Mapping[str, Any]) -> Notifier:
        """A notifier; nothing is sent and nothing is slow. Raises `NotifierError`."""
