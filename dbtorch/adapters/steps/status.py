"""What HTTP statuses and the ``Retry-After`` header say about another attempt."""

from __future__ import annotations

from datetime import UTC, datetime

#: Statuses below 500 that say "later" rather than "never".
_LATER = frozenset({408, 425, 429})


def is_transient(status: int) -> bool:
    """Whether the same request may be answered differently a moment later."""
    return status in _LATER or status >= 500


def seconds_to_wait(header: object, now: datetime | None = None) -> float | None:
    """Seconds, from either form of ``Retry-After`` (a number, or a date); None without one."""
    from email.utils import parsedate_to_datetime

    text = str(header or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
