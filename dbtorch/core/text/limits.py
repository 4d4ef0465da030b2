"""Limits of what people write; beyond them it is a typing error, and refused."""

from __future__ import annotations

from datetime import UTC, datetime

#: Moments that runs may be about: far enough from where the calendar ends for any zone or span.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2999, 12, 31, tzinfo=UTC)

#: Threads of dbt: it starts every one of them, needed or not.
MOST_THREADS = 1000


def moment(text: str) -> datetime:
    """An ISO date or time; UTC where it names no zone. Raises a `ValueError` that says why."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is no date; write 2026-11-21 or 2026-11-21T06:00+01:00") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if not EARLIEST <= found <= LATEST:
        raise ValueError(f"is not between {EARLIEST:%Y-%m-%d} and {LATEST:%Y-%m-%d}")
    return found


def threads(said: int) -> int:
    """A number of threads that a machine can start."""
    return min(max(1, said), MOST_THREADS)
