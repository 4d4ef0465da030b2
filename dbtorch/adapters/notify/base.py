"""What a kind of notifier has: a module of this package, or of another one by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dbtorch.core.alerts.outbox import Delivery
from dbtorch.ports.notifier import Notifier


def stays_here(host: str) -> bool:
    """Whether what is sent there does not leave this machine, and may go in clear."""
    return host in ("localhost", "::1") or host.startswith("127.")


def refuse_in_clear(url: str, key: str) -> None:
    """Raise `NotifierError` for a URL that would carry a secret over the network as it is."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
    if scheme.lower() == "http" and not stays_here(host):
        raise NotifierError(f"alerts.{key} begins with http://, and a secret goes there: use https")


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
