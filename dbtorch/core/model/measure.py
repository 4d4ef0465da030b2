"""Numbers about a relation that are kept from run to run, and what is usual among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import FailureClass

ROW_COUNT = "row_count"  # rows of the relation
ROWS_AFFECTED = "rows_affected"  # rows the run wrote, as the adapter tells it
SCHEMA = "schema"  # number of columns; ``detail`` lists their names and types

#: Earlier runs whose median is what is usual.
LAST = 7

#: Materializations of which a run writes what is new.
_GROWS = ("incremental", "snapshot")

#: What the id of a node begins with that checks a relation; the relation's id follows.

#: Columns of a relation, in their order: name and type.
Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number about a relation."""

    name: str  # one of the above, or "null_rate(email)", "freshness(loaded_at)"
    number: float | None = None
    detail: Any = None  # JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A measure as one run took it."""

    run_id: str
    measured_at: datetime
    number: float | None = None
    detail: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one look at a relation found."""

    rows: int | None = None
    nulls: Mapping[str, int] = field(default_factory=dict)  # by column
    newest: Mapping[str, datetime | None] = field(default_factory=dict)  # by column; None: no value
    columns: Columns | None = None
    errors: Mapping[str, str] = field(default_factory=dict)  # name of a check -> why there is none
    failure_class: FailureClass | None = None  # of the errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How many rows a run wrote or found, and how many are usual."""

    rows: int
    usual: float | None = None  # median of the runs before; None where there were none

    def __str__(self) -> str:
        return rows_told(self.rows, self.usual)

    @property
    def unusual(self) -> bool:
        """Whether somebody would want to know: none, or less than half, or more than double."""
        if self.usual is None or self.rows == self.usual:
            return False
        return not self.usual / 2 <= self.rows <= self.usual * 2


def rows_of(
    measure: str, number: float, before: Sequence[float | None], *, materialized: str = ""
) -> Rows:
    """Rows beside what was usual in the runs before.

    That nothing was new for an incremental model or a snapshot is as usual as any number.
    """
    nothing_new = measure == ROWS_AFFECTED and not number and materialized in _GROWS
    known = [] if nothing_new else [one for one in before if one is not None]
    return Rows(rows=int(number), usual=median(known))


def check_id(relation: str) -> str:
    """The id of the node that checks a relation."""
    return Kind.CHECK.id_of(relation)


def relation_of(node_id: str) -> str:
    """The relation that what a node measures is about."""
    return node_id.partition(".")[2] if Kind.of(node_id) is Kind.CHECK else node_id


def median(numbers: Sequence[float]) -> float | None:
    """The median; None of nothing. The standard library's takes long to import."""
    ordered, half = sorted(numbers), len(numbers) // 2
    if not ordered:
        return None
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def rows_told(rows: int, usual: float | None) -> str:
    """``0 rows, usually about 12,000``."""
    told = "1 row" if rows == 1 else f"{rows:,} rows"
    return told if usual is None else f"{told}, {usually(usual)}"


def usually(usual: float) -> str:
    """``usually about 12,000``: two digits are what anybody wants to know."""
    whole = round(usual)
    digits = max(0, len(str(whole)) - 2)
    rounded = round(whole, -digits)
    about = "about " if rounded != usual or whole >= 100 else ""
    return f"usually {about}{rounded:,}"
