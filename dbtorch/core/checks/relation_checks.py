"""Checks beyond dbt's tests: what is asked of a relation, and what the answers are worth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any

from dbtorch.core.checks.findings import Finding, Status, told
from dbtorch.core.keys import Between, Limit, key
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.freshness import beyond, span
from dbtorch.core.model.measure import (
    LAST,
    ROW_COUNT,
    SCHEMA,
    Columns,
    Found,
    Measure,
    median,
    rows_told,
)
from dbtorch.core.model.state import FailureClass, State

#: What is said where a check needs an earlier run, and there is none.
NOTHING_YET = "nothing to compare with yet"

#: Columns that a drift names of each sort.
_LISTED = 10


class CheckSeverity(StrEnum):
    """What a check that complains means for the nodes that need the relation."""

    WARN = "warn"  # they run, and the run says so
    ERROR = "error"  # they end upstream_failed, as behind a test that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What earlier runs found, this one left out."""

    rows: tuple[float, ...] = ()  # the newest first
    columns: Columns | None = None  # of the last run whose check did not fail


#: Whether a check is content, and what it says.
_Answer = tuple[bool, str]

_Rows = Annotated[int, Between(0, 10**15)]


def _severity(example: CheckSeverity) -> Mapping[str, Any]:
    """Of the field that every check has."""
    return key(
        "When it fails: `error` blocks what needs the relation, as a failed test does; `warn`"
        " lets it run, and the run says so.",
        example=example.value,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCount:
    """The relation has so many rows, the ends included."""

    min: _Rows | None = field(
        default=None, metadata=key("At least so many rows.", default="no limit", example="1")
    )
    max: _Rows | None = field(
        default=None, metadata=key("At most so many rows.", default="no limit", example="1000000")
    )
    severity: CheckSeverity = field(
        default=CheckSeverity.ERROR, metadata=_severity(CheckSeverity.WARN)
    )

    @property
    def name(self) -> str:
        """What it is called where people read about it."""
        return ROW_COUNT

    def answer(self, found: Found, history: History, now: datetime) -> _Answer | None:
        """What it says; None when it was not looked at."""
        del now
        if found.rows is None:
            return None
        told = rows_told(found.rows, median(history.rows[:LAST]))
        if self.min is not None and found.rows < self.min:
            return False, f"{told}; at least {self.min:,} expected"
        if self.max is not None and found.rows > self.max:
            return False, f"{told}; at most {self.max:,} expected"
        return True, told


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCountChange:
    """The relation has about as many rows as in the median of the last runs."""

    percent: Annotated[float, "percentage"] = field(
        metadata=key(
            "So far at most from the median of the last runs, up or down. Required.", example="50"
        )
    )
    last: Annotated[int, Between(1, 100)] = field(
        default=LAST,
        metadata=key(
            "How many runs that are; with fewer in the history, as many as there are.",
            example="14",
        ),
    )
    severity: CheckSeverity = field(
        default=CheckSeverity.ERROR, metadata=_severity(CheckSeverity.WARN)
    )

    @property
    def name(self) -> str:
        """What it is called where people read about it."""
        return "row_count_change"

    def answer(self, found: Found, history: History, now: datetime) -> _Answer | None:
        """What it says; None when it was not looked at."""
        del now
        if found.rows is None:
            return None
        usual = median(history.rows[: self.last])
        told = rows_told(found.rows, usual)
        if usual is None:
            return True, f"{told}; {NOTHING_YET}"
        allowed = f"{self.percent:g} % allowed"
        if usual == 0:
            return found.rows == 0, told if found.rows == 0 else f"{told}; {allowed}"
        change = (found.rows - usual) / usual * 100
        direction = "more" if change > 0 else "fewer"
        if abs(change) > self.percent:
            return False, f"{told}; {abs(change):.3g} % {direction}, {allowed}"
        return True, told


@dataclass(frozen=True, slots=True, kw_only=True)
class NullRate:
    """At most this share of the rows has no value in a column."""

    column: str = field(
        metadata=key("Column, or SQL expression over columns. Required.", example="email")
    )
    max: Annotated[float, "share"] = field(  # from 0 to 1
        default=0.0,
        metadata=key(
            "Share of the rows that may have no value in it.", default="0", example='"5%"'
        ),
    )
    severity: CheckSeverity = field(
        default=CheckSeverity.ERROR, metadata=_severity(CheckSeverity.WARN)
    )

    @property
    def name(self) -> str:
        """What it is called where people read about it."""
        return f"null_rate({self.column})"

    def answer(self, found: Found, history: History, now: datetime) -> _Answer | None:
        """What it says; None when it was not looked at."""
        del history, now
        if found.rows is None or self.column not in found.nulls:
            return None
        if found.rows == 0:
            return False, f"there are no rows; at most {_percent(self.max)} null expected"
        nulls = found.nulls[self.column]
        share = nulls / found.rows
        told = f"{_percent(share)} of {rows_told(found.rows, None)} null"
        if share > self.max:
            return False, f"{told} ({nulls:,}); at most {_percent(self.max)} expected"
        return True, told


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest value of a column is not older than this."""

    column: str = field(
        metadata=key(
            "Column of times, or SQL expression over columns; without a zone they are UTC."
            " Required.",
            example="updated_at",
        )
    )
    max_age: Limit = field(
        metadata=key("So old its newest value is at most. Required.", example="24h")
    )
    severity: CheckSeverity = field(
        default=CheckSeverity.ERROR, metadata=_severity(CheckSeverity.WARN)
    )

    @property
    def name(self) -> str:
        """What it is called where people read about it."""
        return f"freshness({self.column})"

    def answer(self, found: Found, history: History, now: datetime) -> _Answer | None:
        """What it says; None when it was not looked at."""
        del history
        if self.column not in found.newest:
            return None
        newest = found.newest[self.column]
        if newest is None:
            return False, f"there is no value; one within {span(self.max_age)} expected"
        age = (now - newest).total_seconds()
        if age > self.max_age:
            return False, f"the newest value is old: {beyond(age, self.max_age, 'allowed')}"
        return True, f"the newest value is {span(age)} old"


@dataclass(frozen=True, slots=True, kw_only=True)
class SameSchema:
    """The columns are those of the last run."""

    severity: CheckSeverity = field(
        default=CheckSeverity.WARN, metadata=_severity(CheckSeverity.ERROR)
    )

    @property
    def name(self) -> str:
        """What it is called where people read about it."""
        return SCHEMA

    def answer(self, found: Found, history: History, now: datetime) -> _Answer | None:
        """What it says; None when it was not looked at."""
        del now
        if found.columns is None:
            return None
        count = "1 column" if len(found.columns) == 1 else f"{len(found.columns)} columns"
        if history.columns is None:
            return True, f"{count}; {NOTHING_YET}"
        drift = drift_told(history.columns, found.columns)
        return (False, drift) if drift else (True, f"{count}, as before")


Check = RowCount | RowCountChange | NullRate | Newest | SameSchema

#: What a level says: kind of check -> checks of it, none to turn it off.
CheckSettings = Mapping[str, tuple[Check, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternChecks:
    """Checks of the sources or models a pattern names."""

    pattern: str  # "shop.orders", "fct_orders", or with * for any text
    sources: bool  # names sources; all else that has a relation otherwise
    checks: CheckSettings = field(default_factory=dict)
    where: str = ""  # file and line

    @property
    def exact(self) -> bool:
        """Whether it names one relation."""
        return "*" not in self.pattern

    def names(self, relation: str) -> bool:
        """Whether it is about this one."""
        return fnmatchcase(relation, self.pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationChecks:
    """All the checks of one relation."""

    relation: str  # its node's id
    checks: tuple[Check, ...]
    history: History = field(default_factory=History)

    def asks(self) -> dict[str, Any]:
        """What has to be looked up, as JSON: an expression by the name of each check."""
        nulls = {check.name: check.column for check in self.checks if isinstance(check, NullRate)}
        newest = {check.name: check.column for check in self.checks if isinstance(check, Newest)}
        counted = any(isinstance(check, RowCount | RowCountChange) for check in self.checks)
        return {
            "rows": counted or bool(nulls),
            "nulls": nulls,
            "newest": newest,
            "columns": any(isinstance(check, SameSchema) for check in self.checks),
        }

    def judge(self, outcome: Outcome, now: datetime) -> Outcome:
        """What an attempt comes to that has looked; another one stays as it is."""
        found = outcome.found
        if found is None or not outcome.state.ok:
            return outcome
        findings = tuple(self._findings(found, now))
        statuses = {finding.status for finding in findings}
        state, failure_class = State.SUCCESS, None
        if Status.UNKNOWN in statuses:
            state, failure_class = State.FAILED, found.failure_class or FailureClass.UNKNOWN
        elif Status.ERROR in statuses:
            state, failure_class = State.FAILED, FailureClass.DATA
        elif Status.WARN in statuses:
            state = State.WARN
        return replace(
            outcome,
            state=state,
            failure_class=failure_class,
            message=told(findings),
            measures=tuple(self._measures(found, now)),
            found=None,
            details={**outcome.details, "checks": [one.as_json() for one in findings]},
        )

    def _findings(self, found: Found, now: datetime) -> Iterator[Finding]:
        for check in self.checks:
            answer = check.answer(found, self.history, now)
            if answer is None:
                why = found.errors.get(check.name) or found.errors.get(ROW_COUNT) or "no answer"
                told = f"could not be evaluated: {why}"
                yield Finding(check=check.name, status=Status.UNKNOWN, told=told)
                continue
            content, text = answer
            status = Status.OK if content else Status(check.severity.value)
            yield Finding(check=check.name, status=status, told=text)

    def _measures(self, found: Found, now: datetime) -> Iterator[Measure]:
        if found.rows is not None:
            yield Measure(name=ROW_COUNT, number=found.rows)
        for check in self.checks:
            if isinstance(check, NullRate) and check.column in found.nulls and found.rows:
                yield Measure(name=check.name, number=found.nulls[check.column] / found.rows)
            elif isinstance(check, Newest) and found.newest.get(check.column) is not None:
                newest = found.newest[check.column]
                assert newest is not None
                age = (now - newest).total_seconds()
                yield Measure(name=check.name, number=age, detail=newest.isoformat())
        if found.columns is not None:
            columns = [list(column) for column in found.columns]
            yield Measure(name=SCHEMA, number=len(columns), detail=columns)


def drift_told(before: Columns, now: Columns) -> str:
    """What has become of the columns; empty when nothing has. Their order is no matter."""
    was, now_is = dict(before), dict(now)
    removed = [name for name in was if name not in now_is]
    added = [f"{name} ({type})" for name, type in now_is.items() if name not in was]
    retyped = [
        f"{name} (from {was[name]} to {type})"
        for name, type in now_is.items()
        if name in was and was[name] != type
    ]
    parts = (("removed", removed), ("added", added), ("retyped", retyped))
    return "; ".join(f"{what}: {_listed(names)}" for what, names in parts if names)


def _listed(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
