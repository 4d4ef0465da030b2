"""The operating system's clocks."""

import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Implements `Clock`: all of a process have one time."""

    def now(self) -> datetime:
        """The calendar as it stood when the process began, and what has passed since; in UTC."""
        return _CALENDAR + timedelta(seconds=_passed() - _PASSED)

    def calendar(self) -> datetime:
        """What the calendar says, in UTC."""
        return _calendar()


def _calendar() -> datetime:
    return datetime.now(UTC)


def _passed() -> float:
    """Seconds on a clock that nobody sets, and that does not stand still while a laptop sleeps."""
    return time.clock_gettime(_UNSET)


#: Linux has its own for that; on macOS the other one goes on in sleep, unlike `time.monotonic`.
_UNSET: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_CALENDAR, _PASSED = _calendar(), _passed()
