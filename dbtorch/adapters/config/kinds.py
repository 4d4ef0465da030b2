"""Kinds of values a key can have: what each accepts, and what is said about all else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from dbtorch.adapters.config import deadlines, durations
from dbtorch.adapters.config.problems import Path, Refused, Report, shown, suggestion


class Kind(Protocol):
    """Reads one value."""

    @property
    def name(self) -> str:
        """What it is called in the documentation."""

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """The value as the code wants it; None, and a problem, for a wrong one."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without keys of its own.

    ``convert`` raises `Refused`.
    """

    name: str
    convert: Callable[[Any], Any]

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """Convert, or note what is accepted."""
        if value is None:
            report.wrong(at, f"has no value; expected {self.name}, or remove the key")
            return None
        try:
            return self.convert(value)
        except Refused as error:
            report.wrong(at, str(error) if error.complete else f"is {shown(value)}; {error}")
            return None


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section: one row of the tables in `keys` and its neighbours."""

    name: str
    kind: Kind
    doc: str
    _: KW_ONLY
    default: str = ""  # as the documentation shows it
    example: str = ""  # a value, in YAML


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A mapping with keys that are known."""

    title: str
    keys: tuple[Key, ...]
    short: str = ""  # key that a value without keys stands for: ``schedule: "0 6 * * *"``
    required: str = ""  # key that must be there
    check: Callable[[Mapping[str, Any], Path, Report], None] | None = None  # told what was written
    more: Callable[[], Mapping[str, Kind]] = field(default=dict)  # asked for keys not in the table

    @property
    def name(self) -> str:
        """Short form, if any, and mapping."""
        return f"{self._kind(self.short).name} or mapping" if self.short else "mapping"

    def read(self, value: Any, at: Path, report: Report) -> dict[str, Any] | None:
        """What was said, by key; a key with a wrong value is left out."""
        if self.short and value is not None and not isinstance(value, Mapping):
            found = self._kind(self.short).read(value, at, report)
            return None if found is None else {self.short: found}
        written = _mapping(value, at, report, f"a {self.name} with the keys {self._listed()}")
        kinds = {key.name: key.kind for key in self.keys}
        if any(key not in kinds for key in written):
            kinds = {**self.more(), **kinds}
        said = {}
        for key, part in written.items():
            if key not in kinds:
                report.unknown(at, key, list(kinds))
            elif (found := kinds[key].read(part, (*at, key), report)) is not None:
                said[key] = found
        if self.required and self.required not in written and isinstance(value, Mapping | None):
            report.wrong(at, f"has no {self.required}")
        if self.check is not None:
            self.check(written, at, report)
        return said

    def _kind(self, name: str) -> Kind:
        return next(key.kind for key in self.keys if key.name == name)

    def _listed(self) -> str:
        return ", ".join(key.name for key in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A mapping whose keys a user chooses."""

    of: Kind
    pattern: str
    rule: str  # what the pattern means
    reserved: Mapping[str, str] = field(default_factory=dict)  # name -> why it is taken

    @property
    def name(self) -> str:
        """What it maps to."""
        return f"mapping of names to {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> dict[str, Any]:
        """What was said, by name; a name or value that is wrong is left out."""
        said = {}
        for name, part in _mapping(value, at, report, f"a {self.name}").items():
            if not re.fullmatch(self.pattern, name):
                report.add((*at, name), f"{shown(name)} in {report.name(at)} {self.rule}")
                continue
            if name in self.reserved:
                report.wrong((*at, name), self.reserved[name])
                continue
            found = self.of.read(part, (*at, name), report)
            if found is not None:
                said[name] = found
        return said


@dataclass(frozen=True, slots=True)
class Several:
    """One value, or a list of them."""

    of: Kind

    @property
    def name(self) -> str:
        """One or a list."""
        return f"{self.of.name} or list of {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> tuple[Any, ...]:
        """Always a tuple."""
        if not isinstance(value, list | tuple):
            found = self.of.read(value, at, report)
            return () if found is None else (found,)
        parts = [self.of.read(part, (*at, place), report) for place, part in enumerate(value)]
        return tuple(part for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class Listed:
    """A list, also where it has one item."""

    of: Kind

    @property
    def name(self) -> str:
        """What it is a list of."""
        return f"list of {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> tuple[Any, ...]:
        """What was said, item by item. Nothing at all is an empty one."""
        if value is not None and not isinstance(value, list | tuple):
            report.wrong(at, f"is {shown(value)}; expected a {self.name}")
            return ()
        parts = [self.of.read(part, (*at, place), report) for place, part in enumerate(value or ())]
        return tuple(part for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class Switch:
    """A section that can be turned off."""

    of: Section

    @property
    def name(self) -> str:
        """Both ways to say it."""
        return f"false or {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> dict[str, Any] | bool | None:
        """False, or what was said; ``true`` says nothing but that it is on."""
        if isinstance(value, bool):
            return {} if value else False
        return self.of.read(value, at, report)


@dataclass(frozen=True, slots=True)
class Unread:
    """A value whose problems are found now, and which is passed on as it was written."""

    of: Kind
    name: str

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """The value itself."""
        if value is None:
            report.wrong(at, f"has no value; expected {self.name}")
            return None
        self.of.read(value, at, report)
        return value


@dataclass(frozen=True, slots=True)
class Later:
    """A kind that is imported when somebody says something of it, which most projects do not."""

    name: str
    find: Callable[[], Kind]

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """What the kind itself makes of it."""
        return self.find().read(value, at, report)


def _mapping(value: Any, at: Path, report: Report, expected: str) -> dict[str, Any]:
    """A mapping with text keys. Nothing at all is an empty one: all of its keys are comments."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    report.wrong(at, f"is {shown(value)}; expected {expected}")
    return {}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        hint = "" if isinstance(value, list | tuple | Mapping) else ", so put it in quotes"
        raise Refused(f"expected text{hint}")
    if not value.strip():
        raise Refused("expected some text")
    return plain(value)


def plain(text: str) -> str:
    """The text; `Refused` for what no file, argument or database takes."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Refused("holds a NUL character or half a character; remove it", complete=True)
    return text


def whole(minimum: int, maximum: int) -> Scalar:
    """A whole number within bounds."""

    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refused("expected a whole number")
        if not minimum <= value <= maximum:
            raise Refused(f"expected a whole number from {minimum} to {maximum}")
        return int(value)

    return Scalar("whole number", convert)


def one_of(words: type[StrEnum]) -> Scalar:
    """One of the words of an enumeration."""
    known = ", ".join(words)

    def convert(value: Any) -> StrEnum:
        if not isinstance(value, str) or value not in set(words):
            near = suggestion(value, list(words)) if isinstance(value, str) else ""
            raise Refused(near or f"expected one of {known}")
        return words(value)

    return Scalar(" or ".join(words), convert)


def _version(value: Any) -> int:
    if value != 1 or isinstance(value, bool):
        raise Refused("expected 1, the only version there is")
    return 1


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused("expected true or false")
    return value


def _longer_than_nothing(value: Any) -> float:
    if (found := durations.seconds(value)) == 0:
        raise Refused("expected more than 0 seconds; leave the key out for no limit")
    return found


def _condition(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else _text(value)


def _json(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("holds a number that JSON cannot express", complete=True)
    if isinstance(value, str):
        plain(value)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            plain(str(key))
            _json(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _json(part)
    return value


def _module(value: Any) -> str:
    if not isinstance(value, str) or not all(part.isidentifier() for part in value.split(".")):
        raise Refused('expected the name of a Python module, such as "ingestion.steps"')
    return value


def _cron(value: Any) -> str:
    """Five fields or an alias, that name some moment."""
    from croniter import croniter

    accepted = 'expected five cron fields such as "0 6 * * *", or @hourly, @daily, @weekly, …'
    written = " ".join(_text(value).split())
    alias = written in {"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly"}
    fields = re.fullmatch(r"[0-9a-zA-Z*?,/#-]+( [0-9a-zA-Z*?,/#-]+){4}", written)
    random = re.search(r"(?<![a-zA-Z])[rRhH](?![a-zA-Z])", written)  # Jenkins' words
    if len(written) > 200 or random or not (alias or fields):
        raise Refused(accepted)
    try:
        croniter(written, 0.0).get_next()
    except Exception as error:  # croniter has its own, and lets others through
        reason = " ".join(str(error).split())
        never = "failed to find next date" in reason
        raise Refused(f"{'that day never comes' if never else reason}; {accepted}") from None
    return written


def _timezone(value: Any) -> str:
    from zoneinfo import ZoneInfo

    name = _text(value)
    if name == "UTC":
        return name  # needs no database of zones
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        from zoneinfo import available_timezones

        near = suggestion(name.title(), sorted(available_timezones()))
        hint = near or 'expected a name such as "UTC" or "Europe/Berlin"'
        raise Refused(f"there is no such time zone; {hint}") from None
    return name


TEXT = Scalar("text", _text)
FREE_TEXT = Scalar("text", lambda value: plain(value) if value == "" else _text(value))
BOOLEAN = Scalar("true or false", _boolean)
DURATION = Scalar("duration", durations.seconds)
TIMEOUT = Scalar("duration", _longer_than_nothing)
DEADLINE = Scalar("duration or time of day", deadlines.rule)
CONDITION = Scalar("text", _condition)
VERSION = Scalar("1", _version)
MODULE = Scalar("module", _module)
CRON = Scalar("cron", _cron)
TIMEZONE = Scalar("time zone", _timezone)
ANYTHING = Scalar("anything", _json)


def checked_later(name: str) -> Scalar:
    """Something that JSON can hold; the rest is checked where it is used."""
    return Scalar(name, _json)
