"""Days that schedules leave out, from files and calendars: a date a line, or iCalendar."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dbtorch.core.errors import ProjectError

_DAY = timedelta(days=1)

#: Up to when events of a calendar that come again are worked out.
_HORIZON = datetime(2100, 1, 1)  # noqa: DTZ001 - as the calendar's own days have no zone


def named(source: str) -> str:
    """What a source is called where others read it: of a URL no path, which may be its secret."""
    url = urlsplit(source)
    return f"{url.scheme}://{url.hostname or ''}/…" if "://" in source else source


def dates_in(source: str) -> frozenset[date]:
    """The days in a file or at a URL. Raises `ProjectError`."""
    text = _read(source)
    try:
        if "BEGIN:VCALENDAR" in text[:200]:
            return frozenset(_events(text))
        return frozenset(_lines(text))
    except (ValueError, OverflowError) as error:
        raise ProjectError(_unread(source, error)) from None


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
            return Path(source).read_text(encoding="utf-8-sig")
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
    with fsspec.open(url, "rt", encoding="utf-8-sig") as file:
        return str(file.read())


def _lines(text: str) -> Iterator[date]:
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        if said:
            try:
                yield date.fromisoformat(said)
            except ValueError:
                raise ValueError(f"line {number} is no date such as 2026-12-25") from None


def _events(text: str) -> Iterator[date]:
    unfolded = re.sub(r"\r?\n[ \t]", "", text)
    for event in re.findall(r"BEGIN:VEVENT(.*?)END:VEVENT", unfolded, re.DOTALL):
        said = dict(re.findall(r"(?m)^([A-Z]+)[^:\n]*:([^\r\n]*)", event))
        first = _day(said["DTSTART"]) if "DTSTART" in said else None
        if first is None:
            raise ValueError("an event of it has no DTSTART")
        end = _day(said["DTEND"]) if "DTEND" in said else first + _DAY
        days = max(1, (end - first).days)
        for start in _starts(first, said.get("RRULE")):
            yield from (start + number * _DAY for number in range(days))


def _starts(first: date, rule: str | None) -> Iterator[date]:
    if rule is None:
        yield first
        return
    rrule: Any = importlib.import_module("dateutil.rrule")  # croniter brings it
    at = datetime(first.year, first.month, first.day)  # noqa: DTZ001 - a day, of no zone
    until = re.sub(r"(UNTIL=\d{8})(T\d{6})?Z?", r"\1", rule)
    for found in rrule.rrulestr(until, dtstart=at).between(at, _HORIZON, inc=True):
        yield found.date()


def _day(text: str) -> date:
    return datetime.strptime(text[:8], "%Y%m%d").date()  # noqa: DTZ007 - a day, of no zone
