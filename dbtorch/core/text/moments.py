"""Times as a person reads them: in the zone of this machine, which is named. Programs get UTC."""

from __future__ import annotations

from datetime import datetime, tzinfo


def shown(at: datetime, zone: tzinfo | None = None, *, seconds: bool = True) -> str:
    """``2026-11-29 19:48:07 CET``, in ``zone`` where that is not this machine's."""
    try:
        here = at.astimezone(zone)
    except (OverflowError, ValueError):  # where the calendar ends
        here = at
    return f"{here:%Y-%m-%d %H:%M{':%S' if seconds else ''}} {zone_of(here)}"


def zone_of(at: datetime) -> str:
    """The zone of a time, by its name or, where it has none, by its offset."""
    return f"{at:%Z}" or f"{at:%z}"
