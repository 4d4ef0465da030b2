"""Keys of ``checks``, in dbtorch.yml and in ``meta.dbtorch``, and what they come to."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dbtorch.adapters.config.kinds import (
    TEXT,
    TIMEOUT,
    Key,
    Named,
    Scalar,
    Section,
    Several,
    Switch,
    one_of,
    whole,
)
from dbtorch.adapters.config.problems import Path, Refused, Report
from dbtorch.core.checks import (
    Check,
    CheckSettings,
    CheckSeverity,
    Newest,
    NullRate,
    PatternChecks,
    RowCount,
    RowCountChange,
    SameSchema,
)
from dbtorch.core.measure import LAST

_ROWS = whole(0, 10**15)


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


PERCENTAGE = Scalar("percentage", _percentage)
SHARE = Scalar("share", _share)


def _severity(of: type[Check]) -> Key:
    default = CheckSeverity(str(of.__dataclass_fields__["severity"].default))
    return Key(
        "severity",
        one_of(CheckSeverity),
        "When it complains: `error` blocks what needs the relation, as a failed test does; `warn`"
        " lets it run, and the run says so.",
        default=default.value,
        example=(set(CheckSeverity) - {default}).pop().value,
    )


def _has_bounds(written: Mapping[str, Any], at: Path, report: Report) -> None:
    low, high = written.get("min"), written.get("max")
    if low is None and high is None:
        report.wrong(at, "says neither min nor max; give it one of them")
    elif isinstance(low, int) and isinstance(high, int) and low > high:
        report.wrong(at, f"has a min of {low} above its max of {high}")


ROW_COUNT = Section(
    title="row_count",
    short="min",
    check=_has_bounds,
    keys=(
        Key("min", _ROWS, "At least so many rows.", default="no limit", example="1"),
        Key("max", _ROWS, "At most so many rows.", default="no limit", example="1000000"),
        _severity(RowCount),
    ),
)

ROW_COUNT_CHANGE = Section(
    title="row_count_change",
    short="percent",
    required="percent",
    keys=(
        Key(
            "percent",
            PERCENTAGE,
            "So far at most from the median of the last runs, up or down. Required.",
            example="50",
        ),
        Key(
            "last",
            whole(1, 100),
            "How many runs that are; with fewer in the history, as many as there are.",
            default=str(LAST),
            example="14",
        ),
        _severity(RowCountChange),
    ),
)

NULL_RATE = Section(
    title="null_rate",
    short="column",
    required="column",
    keys=(
        Key("column", TEXT, "Column, or SQL expression over columns. Required.", example="email"),
        Key(
            "max",
            SHARE,
            "Share of the rows that may have no value in it.",
            default="0",
            example='"5%"',
        ),
        _severity(NullRate),
    ),
)


def _has_age(written: Mapping[str, Any], at: Path, report: Report) -> None:
    if "max_age" not in written:
        report.wrong(at, "has no max_age")


NEWEST = Section(
    title="freshness of checks",
    required="column",
    check=_has_age,
    keys=(
        Key(
            "column",
            TEXT,
            "Column of times, or SQL expression over columns; without a zone they are UTC."
            " Required.",
            example="updated_at",
        ),
        Key(
            "max_age",
            TIMEOUT,
            "So old its newest value is at most. Required.",
            example="24h",
        ),
        _severity(Newest),
    ),
)

SCHEMA = Section(title="schema", short="severity", keys=(_severity(SameSchema),))


@dataclass(frozen=True, slots=True)
class _On:
    """A check that may stand for itself, with ``true``, and be turned off, with ``false``."""

    of: Section

    @property
    def name(self) -> str:
        """Both ways to say it."""
        return f"true, false or {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> dict[str, Any] | bool | None:
        """False, or what was said."""
        if isinstance(value, bool):
            return {} if value else False
        return self.of.read(value, at, report)


@dataclass(frozen=True, slots=True)
class _Off:
    """Something that ``false`` turns off."""

    of: Section | Several

    @property
    def name(self) -> str:
        """Both ways to say it."""
        return f"false or {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """False, or what was said; ``true`` says nothing that could be checked."""
        if value is False:
            return False
        return self.of.read(value, at, report)


CHECKS = Section(
    title="checks of a relation",
    keys=(
        Key("row_count", _Off(ROW_COUNT), "How many rows there are.", example="{min: 1}"),
        Key(
            "row_count_change",
            _Off(ROW_COUNT_CHANGE),
            "How far that is from what is usual.",
            example="50%",
        ),
        Key(
            "null_rate",
            _Off(Several(NULL_RATE)),
            "How many rows have no value in a column.",
            example='[{column: email, max: "5%"}]',
        ),
        Key(
            "freshness",
            _Off(Several(NEWEST)),
            "How old the newest value of a column is.",
            example="{column: updated_at, max_age: 24h}",
        ),
        Key(
            "schema",
            _On(SCHEMA),
            "Columns added, removed or of another type since the last run.",
            example="error",
        ),
    ),
)

#: Of one node, in its ``meta.dbtorch``.
OF_A_NODE = Switch(CHECKS)

_RULE = 'is no name; write "{}", with * for any text'

PATTERNS = Section(
    title="checks",
    keys=(
        Key(
            "sources",
            Named(of=CHECKS, pattern=r"\S*[.*]\S*", rule=_RULE.format("shop.orders")),
            "Of sources, by name; `*` is any text.",
            default="none",
            example='{"shop.*": {schema: warn}}',
        ),
        Key(
            "models",
            Named(of=CHECKS, pattern=r"\S+", rule=_RULE.format("fct_orders")),
            "Of models, seeds and snapshots, by name; `*` is any text.",
            default="none",
            example='{"fct_*": {row_count: {min: 1}}}',
        ),
    ),
)

#: In the order of the documentation.
SECTIONS = (PATTERNS, CHECKS, ROW_COUNT, ROW_COUNT_CHANGE, NULL_RATE, NEWEST, SCHEMA)

_TYPES: Mapping[str, Callable[..., Check]] = {
    "row_count": RowCount,
    "row_count_change": RowCountChange,
    "null_rate": NullRate,
    "freshness": Newest,
    "schema": SameSchema,
}


def settings(said: Mapping[str, Any] | bool) -> CheckSettings:
    """Checks by their kind; none of a kind, or of all, that is turned off."""
    if isinstance(said, bool):
        return {} if said else dict.fromkeys(_TYPES, ())
    found: dict[str, tuple[Check, ...]] = {}
    for kind, part in said.items():
        several = (part,) if isinstance(part, Mapping) else part or ()
        found[kind] = tuple(_TYPES[kind](**one) for one in several)
    return found


def patterns(said: Mapping[str, Any], where: Callable[[Path], str]) -> tuple[PatternChecks, ...]:
    """What ``checks`` of dbtorch.yml comes to; ``where`` a key stands."""
    return tuple(
        PatternChecks(
            pattern=name,
            sources=kind == "sources",
            checks=settings(part),
            where=where(("checks", kind, name)),
        )
        for kind in ("sources", "models")
        for name, part in said.get(kind, {}).items()
    )
