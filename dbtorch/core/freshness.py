"""How fresh a source has to be, what is done when it is not, and how that is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase

from dbtorch.core.gate import Gate, OnStale, Require

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

#: Older than this is no age: dbt takes the year 1 for a table without rows.
_NEVER = 1000 * 365 * _DAY


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

    on_warn: OnStale | None = None
    on_error: OnStale | None = None
    every: float | None = None  # seconds
    patience: float | None = None  # seconds
    then: OnStale | None = None

    def over(self, base: GateSettings | None) -> GateSettings:
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


def told(source: str, status: str, age: float | None, limits: Thresholds, error: str = "") -> str:
    """What a check has found: "source shop.orders is stale: 31 h, allowed 24 h"."""
    if status == "runtime error" or age is None:
        return f"source {source} could not be checked: {error}".rstrip(": ")
    if status == "pass":
        return f"source {source} is fresh: {span(age)}"
    late = limits.error_after if status == "error" else limits.warn_after
    if age > _NEVER:
        return f"source {source} is stale: it has no rows"
    if status == "error":
        return f"source {source} is stale: {beyond(age, late, 'allowed')}"
    return f"source {source} is late: {beyond(age, late, 'expected')}"


def age_told(age: float | None) -> str:
    """An age in a table."""
    if age is None:
        return "-"
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


def unknown_sources(spec: FreshnessSpec, known: Iterable[str]) -> Mapping[str, SourceGates]:
    """Patterns that name none of these sources, by themselves."""
    names = list(known)
    return {
        gates.pattern: gates
        for gates in spec.sources
        if not any(gates.names(name) for name in names)
    }
