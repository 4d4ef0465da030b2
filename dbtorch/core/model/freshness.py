"""How fresh a source has to be, what is done when it is not, and how that is said."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Annotated, Any

from dbtorch.core.keys import Besides, Limit, key
from dbtorch.core.model.gate import Gate, OnStale, Require
from dbtorch.core.text import durations

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

#: Older than this is no age: dbt takes the year 1 for a table without rows.
_NEVER = 1000 * 365 * _DAY

#: Ahead of now by more than this is no clock that is wrong, and no other time zone.
_AHEAD = _DAY

_GATE = Gate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """dbt's ``freshness`` of a source. Times are seconds; None means that there is no limit."""

    warn_after: float | None = None
    error_after: float | None = None
    filter: str = ""  # SQL condition on the rows that count
    checkable: bool = True  # dbt knows how: loaded_at_field, loaded_at_query or metadata

    def __str__(self) -> str:
        limits = (("warn after", self.warn_after), ("error after", self.error_after))
        return ", ".join(f"{name} {span(limit)}" for name, limit in limits if limit is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What may be said about a gate, on every level. None means that this level says nothing."""

    on_warn: OnStale | None = field(
        default=None,
        metadata=key(
            "Beyond dbt's `warn_after`.",
            name="warn",
            default=_GATE.on_warn.value,
            example="wait",
            within="on_stale",
        ),
    )
    on_error: OnStale | None = field(
        default=None,
        metadata=key(
            "Beyond dbt's `error_after`, or when the source cannot be checked.",
            name="error",
            default=_GATE.on_error.value,
            example="fail",
            within="on_stale",
        ),
    )
    every: Limit | None = field(
        default=None,
        metadata=key(
            "With `wait`: time from one check to the next.",
            default=durations.text(_GATE.every),
            example="5m",
        ),
    )
    patience: Limit | None = field(
        default=None,
        metadata=key(
            "With `wait`: how long to keep checking again, from the first check.",
            name="for",
            default=durations.text(_GATE.patience),
            example="2h",
        ),
    )
    then: Annotated[OnStale, Besides(OnStale.WAIT)] | None = field(
        default=None,
        metadata=key(
            "With `wait`: what happens when that time is over.",
            default=_GATE.then.value,
            example="fail",
        ),
    )

    def over(self, base: "GateSettings | None") -> "GateSettings":
        """These settings, with ``base`` where they say nothing."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return GateSettings(
            **{
                name: value if value is not None or base is None else getattr(base, name)
                for name, value in mine.items()
            }
        )

    def gate(self) -> Gate:
        """The gate these settings come to."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return Gate(**{name: value for name, value in said.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceGates:
    """What is said about the sources a pattern names."""

    pattern: str  # "shop.orders", or with * for any text
    settings: GateSettings = field(default_factory=GateSettings)
    where: str = ""  # file and line

    @property
    def exact(self) -> bool:
        """Whether it names one source."""
        return "*" not in self.pattern

    def names(self, source: str) -> bool:
        """Whether it is about this source, "shop.orders"."""
        return fnmatchcase(source, self.pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessSpec:
    """``freshness`` of dbtorch.yml."""

    default: GateSettings = field(default_factory=GateSettings)
    require: Require = Require.ANY
    sources: tuple[SourceGates, ...] = ()
    everywhere: bool = True  # False: only sources that say something in their own meta.dbtorch

    def of(self, source: str) -> GateSettings:
        """What is said about one source: its name wins over patterns, a later one over others."""
        about = [gates for gates in self.sources if gates.names(source)]
        said = self.default
        for gates in sorted(about, key=lambda gates: gates.exact):
            said = gates.settings.over(said)
        return said


#: Among the details of an attempt at a source: by how much it is beyond its threshold.
BEYOND = "beyond"


def status_of(said: Mapping[str, Any]) -> str:
    """Dbt's word for the check of a source, from its entry in sources.json; empty without one.

    What is dated in the future passes with dbt, for ever; nobody knows how fresh it is: ``error``.
    """
    age = said.get("max_loaded_at_time_ago_in_s")
    ahead = isinstance(age, int | float) and age < -_AHEAD
    return "error" if ahead else str(said.get("status") or "")


def told(source: str, status: str, age: float | None, limits: Thresholds, error: str = "") -> str:
    """What a check has found: "source shop.orders is stale: 31 h, allowed 24 h"."""
    if status == "runtime error" or age is None:
        return f"source {source} could not be checked: {error}".rstrip(": ")
    if status == "pass":
        return f"source {source} is fresh: {span(age)}"
    how = "stale" if status == "error" or age > _NEVER else "late"
    return f"source {source} is {how}: {beyond_limit(status, age, limits)}"


def beyond_limit(status: str, age: float, limits: Thresholds) -> str:
    """By how much a source is beyond its threshold: "31 h, allowed 24 h"."""
    if age > _NEVER:
        return "it has no rows"
    if age < -_AHEAD:
        return f"its newest row is {age_told(age)}"
    if status == "error":
        return beyond(age, limits.error_after, "allowed")
    return beyond(age, limits.warn_after, "expected")


def age_told(age: float | None) -> str:
    """An age in a table."""
    if age is None:
        return "-"
    if age < -_AHEAD:
        return f"{span(-age)} ahead of now"
    return "no rows" if age > _NEVER else span(age)


def beyond(age: float, limit: float | None, word: str) -> str:
    """An age and its limit: ``31 h, allowed 24 h``; as finely as it takes to tell them apart."""
    if limit is None:
        return span(age)
    text = span(age)
    return f"{_finely(age) if text == span(limit) else text}, {word} {span(limit)}"


def span(seconds: float) -> str:
    """A time as thresholds are written: ``45 s``, ``90 min``, ``31 h``, ``5 d``; rounded down."""
    if seconds < _MINUTE:
        return f"{max(0, int(seconds))} s"
    if seconds < _HOUR or (seconds < 2 * _HOUR and seconds % _HOUR >= _MINUTE):
        return f"{int(seconds // _MINUTE)} min"
    if seconds <= 3 * _DAY:
        return f"{int(seconds // _HOUR)} h"
    return f"{int(seconds // _DAY)} d"


def _finely(seconds: float) -> str:
    whole = int(seconds)
    if seconds <= 3 * _DAY and whole >= _HOUR:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    if whole >= _DAY:
        return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
    return f"{whole // _MINUTE} min {whole % _MINUTE} s"
