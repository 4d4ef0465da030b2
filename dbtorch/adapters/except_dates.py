"""Days that schedules leave out, from files and calendars: a date a line, or iCalendar."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from dbtorch.core.errors import ProjectError

_DAY = timedelta(days=1)

#: Up to when events of a calendar that come again are worked out.
_HORIZON = datetime(2100, 1, 1)  # noqa: DTZ001 - as the calendar's own days have no zone

#: How often an event may come again, and how much there may be of what somebody else's server says.
_OFTEN = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})
_MOST_DAYS, _MOST_BYTES, _PIECE = 100_000, 4 << 20, 1 << 16


def named(source: str) -> str:
    """What a source is called where others read it: of a URL no path, which may be its secret."""
    url = urlsplit(source)
    return f"{url.scheme}://{url.hostname or ''}/…" if "://" in source else source


def dates_in(source: str) -> frozenset[date]:
    """The days in a file or at a URL. Raises `ProjectError`."""
    text = _read(source)
    try:
        if "BEGIN:VCALENDAR" in text[:200]:
            return _few(_events(text))
        return _few(_lines(text))
    except (ValueError, OverflowError) as error:
        raise ProjectError(_unread(source, error)) from None


def _few(days: Iterator[date]) -> frozenset[date]:
    found = frozenset(islice(days, _MOST_DAYS))
    if next(days, None) is not None:
        raise ValueError(f"it has more than {_MOST_DAYS:,} days")
    return found


def _unread(source: str, error: BaseException) -> str:
    url = urlsplit(source)
    why = str(error).replace(source, named(source))
    if "://" in source:
        for secret in (url.query, url.path.strip("/"), url.password):
            why = why.replace(secret, "…") if secret else why
    what = why or type(error).__name__
    return f"{named(source)}, which a schedule excepts, cannot be read: {what}"


def _read(source: str) -> str:
    try:
        if "://" not in source:
            with Path(source).open("rb") as file:
                return _text(file)
        return _fetched(source)
    except ImportError:
        raise ProjectError(
            f"{named(source)}, which a schedule excepts, needs fsspec; install it with"
            " `pip install 'dbtorch[fsspec]'`"
        ) from None
    except Exception as error:  # fsspec lets those of every protocol through
        raise ProjectError(_unread(source, error)) from None


def _fetched(url: str) -> str:
    fsspec: Any = importlib.import_module("fsspec")
    with fsspec.open(url, "rb") as file:
        return _text(file)


def _text(file: BinaryIO) -> str:
    found = bytearray()
    while len(found) <= _MOST_BYTES and (piece := file.read(_PIECE)):
        found += piece
    if len(found) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MiB")
    return found.decode("utf-8-sig")


def _lines(text: str) -> Iterator[date]:
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        if said:
            try:
                yield date.fromisoformat(said)
            except ValueError:
                raise ValueError(f"line {number} is no date such as 2026-12-25") from None


def _events(text: str) -> Iterator[date]:
    """Days of all events; line by line, as a calendar is whatever somebody else's server sends."""
    known: list[_Line] | None = None
    for line in _unfolded(text):
        match line.name, line.value:
            case "BEGIN", "VEVENT":
                known = []
            case "END", "VEVENT" if known is not None:
                yield from _days(known)
                known = None
            case _ if known is not None:
                known.append(line)


class _Line(NamedTuple):
    name: str
    value: str


def _unfolded(text: str) -> Iterator[_Line]:
    for line in re.sub(r"\r?\n[ \t]", "", text).splitlines():
        head, _, value = line.partition(":")
        yield _Line(head.partition(";")[0], value.strip())


def _days(event: list[_Line]) -> Iterator[date]:
    said = {line.name: line.value for line in reversed(event)}  # the event's own come first
    if said.get("STATUS") == "CANCELLED":
        return
    if "DTSTART" not in said:
        raise ValueError("an event of it has no DTSTART")
    first = _day(said["DTSTART"])
    end = _day(said["DTEND"]) if "DTEND" in said else first + _DAY
    days = max(1, (end - first).days)
    left_out = {_day(one) for line in event if line.name == "EXDATE" for one in _listed(line)}
    more = [_day(one) for line in event if line.name == "RDATE" for one in _listed(line)]
    for start in chain(_starts(first, said.get("RRULE")), more):
        if start not in left_out:
            yield from (start + number * _DAY for number in range(days))


def _listed(line: _Line) -> list[str]:
    return line.value.split(",")


def _starts(first: date, rule: str | None) -> Iterator[date]:
    if rule is None:
        yield first
        return
    often = re.search(r"FREQ=(\w+)", rule)
    if often is None or often[1] not in _OFTEN:
        raise ValueError(f"an event of it comes again by {rule[:80]!r}, which is no rule for days")
    rrule: Any = importlib.import_module("dateutil.rrule")  # croniter brings it
    at = datetime(first.year, first.month, first.day)  # noqa: DTZ001 - a day, of no zone
    until = re.sub(r"(UNTIL=\d{8})(T\d{6})?Z?", r"\1", rule)
    for found in rrule.rrulestr(until, dtstart=at).xafter(at, inc=True):
        if found > _HORIZON:
            return
        yield found.date()


def _day(text: str) -> date:
    return datetime.strptime(text[:8], "%Y%m%d").date()  # noqa: DTZ007 - a day, of no zone
