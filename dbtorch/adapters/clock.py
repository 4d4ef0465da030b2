"""The operating system's clock."""

from datetime import UTC, datetime


class SystemClock:
    """Implements `Clock`."""

    def now(self) -> datetime:
        """The current time in UTC."""
        return datetime.now(UTC)
