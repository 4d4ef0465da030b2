"""Cron expressions as every cron reads them, and the same times by the clock of UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from dbtorch.core.errors import Refused

#: Numbers of the five fields; None: each.
Fields: TypeAlias = "tuple[frozenset[int] | None, ...]"

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}

#: What every cron reads: numbers, ranges, steps of ranges and of all. Sunday is 0.
_PLAIN = re.compile(r"(?:(?:\*|\d+-\d+)(?:/\d+)?|\d+)(?:,(?:(?:\*|\d+-\d+)(?:/\d+)?|\d+))*")

_ALL = (frozenset(range(60)), frozenset(range(24)))
_DAY = 24 * 60


def plain(cron: str) -> str:
    """The same times in five fields that every cron reads. Raises `Refused`."""
    words = _ALIASES.get(cron, cron).split()
    fields = _fields(cron)
    return " ".join(
        word if _PLAIN.fullmatch(word) and not (place == 4 and "7" in word) else _written(numbers)
        for place, (word, numbers) in enumerate(zip(words, fields, strict=True))
    )


def in_utc(cron: str, offset: int) -> list[str]:
    """What UTC's clock shows at these times where a zone is so many minutes ahead of it.

    Raises `Refused` for days of a month that begin on another one there.
    """
    minutes, hours, days, months, weekdays = _fields(cron)
    by_days: dict[int, dict[int, set[int]]] = {}  # days moved -> hour -> minutes
    for hour in hours or _ALL[1]:
        for minute in minutes or _ALL[0]:
            moved, rest = divmod(hour * 60 + minute - offset, _DAY)
            any_day = days is None and months is None and weekdays is None
            known = by_days.setdefault(0 if any_day else moved, {})
            known.setdefault(rest // 60, set()).add(rest % 60)
    found = []
    for moved, times in sorted(by_days.items()):
        if moved and (days is not None or months is not None):
            raise Refused("some of its times are on another day of the month in UTC")
        turned = weekdays and frozenset((day + moved) % 7 for day in weekdays)
        by_minutes: dict[frozenset[int], set[int]] = {}
        for hour, at in times.items():
            by_minutes.setdefault(frozenset(at), set()).add(hour)
        found += [
            " ".join(map(_written, (_whole(at, 0), _whole(frozenset(of), 1), days, months, turned)))
            for at, of in sorted(by_minutes.items(), key=lambda one: min(one[1]))
        ]
    return found


def _fields(cron: str) -> Fields:
    from croniter import croniter

    if re.search(r"[#?]|(?<![a-zA-Z])[lL](?![a-zA-Z])", cron):
        raise Refused("#, ? and L are not known to every cron")
    expanded, _ = croniter.expand(_ALIASES.get(cron, cron))
    return tuple(
        None if "*" in numbers else frozenset(int(number) for number in numbers)
        for numbers in expanded
    )


def _whole(numbers: frozenset[int], place: int) -> frozenset[int] | None:
    return None if numbers == _ALL[place] else numbers


def _written(numbers: Iterable[int] | None) -> str:
    """Numbers of a field, those in a row as a range."""
    if numbers is None:
        return "*"
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(_range(first, last) for first, last in ranges)


def _range(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def every(minutes: int) -> Sequence[str]:
    """Cron expressions that may come to so many minutes each time; who uses one looks whether."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return [f"*/{minutes} * * * *" if minutes > 1 else "* * * * *"]
    if rest or hours > 24:
        return []
    return [f"0 {'0' if hours == 24 else '*' if hours == 1 else f'*/{hours}'} * * *"]
