"""Kinds of single values: what each accepts, and what is said about all else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dbtorch.adapters.config import environment
from dbtorch.adapters.config.problems import Path, Report, shown, suggestion
from dbtorch.adapters.cron_expression import read_cron
from dbtorch.core.errors import Refused
from dbtorch.core.model.deadline import DeadlineRule
from dbtorch.core.text import deadlines, durations

#: What JSON Schema can say of a value.
Shape = Mapping[str, Any]


class Kind(Protocol):
    """Reads one value."""

    @property
    def name(self) -> str:
        """What it is called in the documentation."""

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """The value as the code wants it; for a wrong one whatever, and a problem."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without keys of its own.

    ``convert`` raises `Refused`.
    """

    name: str
    convert: Callable[[Any], Any]
    shape: Shape

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

    bounds = {"minimum": minimum, "maximum": maximum}
    return Scalar("whole number", convert, {"type": "integer", **bounds})


def one_of(words: Iterable[str]) -> Scalar:
    """One of some words; as the word of the enumeration that they are of."""
    known = {str(word): word for word in words}

    def convert(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            near = suggestion(value, known) if isinstance(value, str) else ""
            raise Refused(near or f"expected one of {', '.join(known)}")
        return known[value]

    return Scalar(" or ".join(known), convert, {"enum": [*known]})


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


def _sqlstate(value: Any) -> str:
    """Five characters, or the two of a class; YAML takes some of them for numbers."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9A-Z]{5}|[0-9A-Z]{2}", text):
        raise Refused('expected five characters, or the first two of them, such as "40001" or "08"')
    return text


def _errno(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise Refused("expected the driver's number or name of an error")
    return str(value).strip()


def _exception(value: Any) -> str:
    if not isinstance(value, str) or not all(part.isidentifier() for part in value.split(".")):
        raise Refused('expected the name of a Python class or package, such as "OperationalError"')
    return value


def _http_status(value: Any) -> str:
    text = str(value) if isinstance(value, str | int) else ""
    if not re.fullmatch(r"[1-5](?:[0-9][0-9]|xx)", text):
        raise Refused("expected a status such as 503 or 5xx")
    return text


def _regex(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Refused("expected a regular expression")
    from dbtorch.core.failures.pattern import PatternError, check_pattern

    try:
        check_pattern(value)
    except PatternError as error:
        raise Refused(f"which is no regular expression for this: {error}") from None
    return value


def _percentage(value: Any) -> float:
    """``50`` or ``"50%"``: 50."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?\s*%", text):
        text = float(text.rstrip("%"))
    if isinstance(text, bool) or not isinstance(text, int | float) or not math.isfinite(text):
        raise Refused('expected a percentage such as 50 or "50%"')
    if not 0 < text <= 1_000_000:
        raise Refused("expected a percentage above 0")
    return float(text)


def _share(value: Any) -> float:
    """``0.05`` or ``"5%"``: 0.05."""
    accepted = 'expected a share of the rows such as 0.05 or "5%"'
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,3}(\.[0-9]{1,9})?\s*%\s*", value):
        value = float(value.strip().rstrip("%")) / 100
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Refused(accepted)
    return float(value)


def _written(pattern: str) -> Shape:
    return {"type": "string", "pattern": f"^\\s*(?:{pattern})\\s*$"}


def _either(*shapes: Shape) -> Shape:
    return {"anyOf": [*shapes]}


def _number(least: float, most: float) -> Shape:
    return {"type": "number", "minimum": least, "maximum": most}


_TEXT: Shape = {"type": "string", "pattern": r"\S"}
_FREE: Shape = {"type": "string", "pattern": r"^$|\S"}
_DURATION = _either(_number(0, durations.LONGEST), _written(durations.PATTERN))
LIMIT = _either({**_number(0, durations.LONGEST), "exclusiveMinimum": 0}, _DURATION["anyOf"][1])
_CLOCK = _written("[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
_ALIAS = "@(?:hourly|daily|midnight|weekly|monthly|yearly)"
_FIELD = "[0-9a-zA-Z*?,/#-]+"
_PERCENT = _written(r"[0-9]{1,9}(?:\.[0-9]{1,9})?\s*%")
_PART = r"(?![0-9])[\w\u0080-\uffff]+"  # of a dotted name; \w alone is ASCII to an editor
_DOTTED: Shape = {"type": "string", "pattern": f"^{_PART}(?:\\.{_PART})*$"}
_SQLSTATE: Shape = {"type": "string", "pattern": "^(?:[0-9A-Z]{5}|[0-9A-Z]{2})$"}
STATUS = _either(
    {"type": "string", "pattern": "^[1-5](?:[0-9][0-9]|xx)$"},
    {"type": "integer", "minimum": 100, "maximum": 599},
)

#: All but nothing.
SOMETHING: Shape = {"not": {"type": "null"}}


class _EnvText:
    """Text with ``env_var``, which is filled in at once: it must be known before anything runs."""

    name = "text"
    shape = _TEXT

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """The text with its environment variables."""
        text = TEXT.read(value, at, report)
        try:
            return text and environment.render(text, report.environ)
        except Refused as error:
            report.wrong(at, str(error))
            return None


class _PoolName:
    """A pool; one that nobody defined would limit nothing."""

    name = "text"
    shape = _TEXT

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """The name, where there is such a pool."""
        pool, known = TEXT.read(value, at, report), report.pools
        if pool is not None and known is not None and pool not in known:
            hint = suggestion(pool, known) or "define it, such as `pools: {name: 4}` in dbtorch.yml"
            report.wrong(at, f'names the pool "{pool}", which is not defined; {hint}')
        return pool


TEXT = Scalar("text", _text, _TEXT)
FREE_TEXT = Scalar("text", lambda value: plain(value) if value == "" else _text(value), _FREE)
DURATION = Scalar("duration", durations.seconds, _DURATION)
ANYTHING = Scalar("anything", _json, SOMETHING)

#: By the type of a field, or what its annotation says besides.
SCALARS: Mapping[Any, Kind] = {
    str: TEXT,
    bool: Scalar("true or false", _boolean, {"type": "boolean"}),
    DeadlineRule: Scalar("duration or time of day", deadlines.rule, _either(LIMIT, _CLOCK)),
    "env_var": _EnvText(),
    "free text": FREE_TEXT,
    "pool": _PoolName(),
    "duration": DURATION,
    "limit": Scalar("duration", _longer_than_nothing, LIMIT),
    "condition": Scalar("text", _condition, _either({"type": "boolean"}, _TEXT)),
    "version": Scalar("1", _version, {"const": 1}),
    "module": Scalar("module", _module, _DOTTED),
    "cron": Scalar(
        "cron",
        lambda value: read_cron(_text(value)),
        _written(rf"{_ALIAS}|{_FIELD}(?:\s+{_FIELD}){{4}}"),
    ),
    "time zone": Scalar("time zone", _timezone, _TEXT),
    "SQLSTATE": Scalar("SQLSTATE", _sqlstate, _either(_SQLSTATE, {"type": "integer"})),
    "class": Scalar("class", _exception, _DOTTED),
    "number or name": Scalar("number or name", _errno, _either(_TEXT, {"type": "integer"})),
    "status": Scalar("status", _http_status, STATUS),
    "regular expression": Scalar("regular expression", _regex, {"type": "string", "minLength": 1}),
    "percentage": Scalar(
        "percentage", _percentage, _either({**_number(0, 1e6), "exclusiveMinimum": 0}, _PERCENT)
    ),
    "share": Scalar("share", _share, _either(_number(0, 1), _PERCENT)),
}


def checked_later(name: str, shape: Shape = SOMETHING) -> Scalar:
    """Something that JSON can hold; the rest is checked where it is used."""
    return Scalar(name, _json, shape)
