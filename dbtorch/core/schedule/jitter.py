"""How long after its time a tick starts, so that not everything starts at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256


def delay(pipeline: str, scheduled_for: datetime, most: float) -> timedelta:
    """At most ``most`` seconds; the same wherever and whenever it is worked out."""
    if not most:
        return timedelta()
    digest = sha256(f"{pipeline} {scheduled_for.timestamp():.6f}".encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:6]) / 2**48 * most)
