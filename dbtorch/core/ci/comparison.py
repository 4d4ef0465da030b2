"""Comparing a relation with production's, in the warehouse and by plain SQL.

Rows are told apart by a key where there is one that is unique and never null on both sides;
without, a relation is a bag of rows. Nothing depends on the order of rows, nulls equal nulls.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

#: Answers the rows of a query, at most so many.
Ask = Callable[[str, int], Sequence[Sequence[Any]]]

#: Examples of keys.
EXAMPLES = 3

#: Adapters that call text ``string``.
_STRING = frozenset({"bigquery", "databricks", "spark"})

#: Types that warehouses compare as text alone, by how their names begin.
_AS_TEXT = ("json", "xml", "variant", "super", "point", "geo", "hllsketch")
_FLOAT = re.compile(r"(float|double|real)[\w ]*(\([\d, ]*\))?", re.IGNORECASE)

#: Larger numbers are equal or not: a tolerance might overflow.
_LARGE = "1e150"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as its warehouse names it."""

    name: str
    quoted: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A relation: one of the two that are compared."""

    relation: str  # as SQL names it
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How relations are compared."""

    tolerance: float = 1e-9  # of floats, relative
    ignore: tuple[str, ...] = ()  # patterns of columns, whatever their case
    sample_above: int = 1_000_000  # rows
    adapter: str = "duckdb"  # its type

    def text(self, expression: str) -> str:
        """An expression as text."""
        return f"cast({expression} as {'string' if self.adapter in _STRING else 'varchar'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retyped:
    """A column that has another type."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a relation differs from production's. Counts are of rows."""

    rows_before: int
    rows_after: int
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    columns_retyped: tuple[Retyped, ...] = ()
    key: tuple[str, ...] = ()  # empty: rows were compared as a whole
    added: int | None = None  # None: not compared
    removed: int | None = None
    changed: int | None = None  # None without a key
    in_both: int = 0  # keys
    columns_changed: Mapping[str, int] = field(default_factory=dict)  # only those that differ
    share: float = 1.0  # of the keys that were compared
    examples: Mapping[str, tuple[tuple[str, ...], ...]] = field(
        default_factory=dict
    )  # added, removed, changed -> keys
    note: str = ""  # why it was not compared as one might expect

    @property
    def same(self) -> bool:
        """Whether the two are known to hold the same; False where nobody knows."""
        schema = (self.columns_added, self.columns_removed, self.columns_retyped)
        rows = (self.rows_after - self.rows_before, self.added, self.removed, self.changed or 0)
        return self.share == 1.0 and not any(schema) and all(found == 0 for found in rows)


def compare(before: Side, after: Side, key: Sequence[str], ask: Ask, how: How) -> Comparison:
    """Compare a relation with production's, which is ``before``.

    Raises what ``ask`` raises.
    """
    pairs = _Pairs.of(before, after, how)
    keyed = pairs.keys(key)
    counted = [_counts(side, keyed, place, ask) for place, side in enumerate((before, after))]
    (total_before, trouble_before), (total_after, trouble_after) = counted
    schema = Comparison(
        rows_before=total_before,
        rows_after=total_after,
        columns_added=pairs.added,
        columns_removed=pairs.removed,
        columns_retyped=pairs.retyped,
    )
    note = _no_key(key, keyed, trouble_before, trouble_after)
    rows = max(total_before, total_after)
    if keyed and not note:
        return _Joined(pairs, keyed, how, rows).compared(schema, ask)
    return _as_bags(schema, pairs, how, ask, note)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A column that both sides have."""

    before: Column
    after: Column

    @property
    def name(self) -> str:
        return self.after.name

    @property
    def retyped(self) -> bool:
        return self.before.type.lower() != self.after.type.lower()

    @property
    def is_float(self) -> bool:
        return _FLOAT.fullmatch(self.after.type) is not None

    def of(self, place: int, how: How) -> str:
        """The expression for one side: 0 is production's."""
        column = (self.before, self.after)[place]
        as_text = column.type.lower().startswith(_AS_TEXT)
        return how.text(column.quoted) if as_text else column.quoted


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The columns of two relations."""

    before: Side
    after: Side
    both: tuple[_Pair, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]

    @classmethod
    def of(cls, before: Side, after: Side, how: How) -> _Pairs:
        patterns = [pattern.lower() for pattern in how.ignore]

        def looked_at(side: Side) -> dict[str, Column]:
            twins = Counter(column.name.lower() for column in side.columns)
            return {
                column.name if twins[column.name.lower()] > 1 else column.name.lower(): column
                for column in side.columns
                if not any(fnmatchcase(column.name.lower(), pattern) for pattern in patterns)
            }

        old, new = looked_at(before), looked_at(after)
        return cls(
            before=before,
            after=after,
            both=tuple(_Pair(old[name], new[name]) for name in new if name in old),
            added=tuple(column.name for name, column in new.items() if name not in old),
            removed=tuple(column.name for name, column in old.items() if name not in new),
        )

    @property
    def retyped(self) -> tuple[Retyped, ...]:
        return tuple(
            Retyped(name=pair.name, before=pair.before.type, after=pair.after.type)
            for pair in self.both
            if pair.retyped
        )

    @property
    def comparable(self) -> tuple[_Pair, ...]:
        """Those whose values can be compared: a retyped one is another column."""
        return tuple(pair for pair in self.both if not pair.retyped)

    def keys(self, names: Sequence[str]) -> tuple[_Pair, ...]:
        """The columns of a key; none where one of them is not on both sides as it was."""
        exact = {pair.name: pair for pair in self.comparable}
        found = {**{name.lower(): pair for name, pair in exact.items()}, **exact}
        words = [name.strip('"`[]') for name in names]
        pairs = [found.get(word) or found.get(word.lower()) for word in words]
        return tuple(pair for pair in pairs if pair is not None) if all(pairs) else ()


def _no_key(key: Sequence[str], keyed: Sequence[_Pair], before: str, after: str) -> str:
    """Why rows are not told apart by a key; empty where they are."""
    listed = ", ".join(key)
    if not key:
        return "no key is known, so rows are compared as a whole"
    if not keyed:
        return f"the key ({listed}) is not the same column on both sides"
    where = (f"{before} in production" if before else "") or (after and f"{after} here")
    return f"the key ({listed}) {where}, so rows are compared as a whole" if where else ""


def _counts(side: Side, keyed: Sequence[_Pair], place: int, ask: Ask) -> tuple[int, str]:
    """How many rows there are, and what is wrong with the key."""
    if not keyed:
        ((total,),) = ask(f"select count(*) from {side.relation}", 1)
        return int(total), ""
    names = [(pair.before, pair.after)[place].quoted for pair in keyed]
    groups = ", ".join(names)
    there = " and ".join(f"{name} is not null" for name in names)
    sql = (
        "select t.n_all, k.n_keyed, k.n_most"
        f" from (select count(*) as n_all from {side.relation}) t cross join"
        " (select sum(g.n) as n_keyed, max(g.n) as n_most from"
        f" (select count(*) as n from {side.relation} where {there} group by {groups}) g) k"
    )
    ((total, keyed_rows, most),) = ask(sql, 1)
    if int(total) > int(keyed_rows or 0):
        return int(total), "is null in places"
    return int(total), "is not unique" if int(most or 0) > 1 else ""


class _Joined:
    """Two relations joined by their key."""

    def __init__(self, pairs: _Pairs, keyed: tuple[_Pair, ...], how: How, rows: int) -> None:
        self._how = how
        self._keyed = keyed
        self._values = [pair for pair in pairs.comparable if pair not in keyed]
        self._share = min(1.0, how.sample_above / rows) if rows else 1.0
        sides = (self._side(pairs.before, 0), self._side(pairs.after, 1))
        on = " and ".join(f"a.k{n} = b.k{n}" for n in range(len(keyed)))
        self._from = f"from ({sides[0]}) a full outer join ({sides[1]}) b on {on}"

    def compared(self, schema: Comparison, ask: Ask) -> Comparison:
        """Ask once for all counts, and for examples of what differs."""
        differs = [self._differs(n, pair) for n, pair in enumerate(self._values)]
        any_of = " + ".join(differs) or "0"
        sums = [
            "case when a.k0 is null then 1 else 0 end",
            "case when b.k0 is null then 1 else 0 end",
            _in_both(f"case when {any_of} > 0 then 1 else 0 end"),
            _in_both("1"),
            *map(_in_both, differs),
        ]
        listed = ", ".join(f"sum({one})" for one in sums)
        (found,) = ask(f"select {listed} {self._from}", 1)
        added, removed, changed, both, *by_column = (int(one or 0) for one in found)
        return replace(
            schema,
            key=tuple(pair.name for pair in self._keyed),
            added=added,
            removed=removed,
            changed=changed,
            in_both=both,
            columns_changed={
                pair.name: count
                for pair, count in zip(self._values, by_column, strict=True)
                if count
            },
            share=self._share,
            examples=self._examples(any_of, ask) if added or removed or changed else {},
        )

    def _examples(self, any_of: str, ask: Ask) -> dict[str, tuple[tuple[str, ...], ...]]:
        """The first keys that are added, removed and changed."""
        width = range(len(self._keyed))
        keys = ", ".join(f"coalesce(a.k{n}, b.k{n}) as k{n}" for n in width)
        named = ", ".join(f"k{n}" for n in width)
        kind = (
            "case when a.k0 is null then 'added' when b.k0 is null then 'removed'"
            f" when {any_of} > 0 then 'changed' end as kind"
        )
        sql = (
            f"select kind, {named} from (select kind, {named},"
            f" row_number() over (partition by kind order by {named}) as place"
            f" from (select {kind}, {keys} {self._from}) d where kind is not null) e"
            f" where place <= {EXAMPLES} order by kind, {named}"
        )
        found: dict[str, tuple[tuple[str, ...], ...]] = {}
        for what, *key in ask(sql, 3 * EXAMPLES):
            found[what] = (*found.get(what, ()), tuple(map(str, key)))
        return found

    def _side(self, side: Side, place: int) -> str:
        keys = [pair.of(place, self._how) for pair in self._keyed]
        named = [f"{key} as k{n}" for n, key in enumerate(keys)]
        named += [f"{pair.of(place, self._how)} as v{n}" for n, pair in enumerate(self._values)]
        sampled = f" where {self._sample(keys)}" if self._share < 1 else ""
        return f"select {', '.join(named)} from {side.relation}{sampled}"

    def _sample(self, keys: Sequence[str]) -> str:
        """The same keys on both sides, by their hash."""
        text = " || '|' || ".join(map(self._how.text, keys))
        digest = f"to_hex(md5({text}))" if self._how.adapter == "bigquery" else f"md5({text})"
        return f"substr({digest}, 1, 6) < '{int(self._share * 16**6):06x}'"

    def _differs(self, n: int, pair: _Pair) -> str:
        """1 where a value differs, else 0."""
        a, b = f"a.v{n}", f"b.v{n}"
        equal = f"{a} = {b} or ({a} is null and {b} is null)"
        if not pair.is_float:
            return f"case when {equal} then 0 else 1 end"
        near = f"abs({a} - {b}) <= {self._how.tolerance!r} * (abs({a}) + abs({b}))"
        small = f"abs({a}) < {_LARGE} and abs({b}) < {_LARGE}"
        return (
            f"case when {equal} then 0"
            f" when {small} then case when {near} then 0 else 1 end else 1 end"
        )


def _in_both(expression: str) -> str:
    return f"case when a.k0 is not null and b.k0 is not null then {expression} else 0 end"


def _as_bags(schema: Comparison, pairs: _Pairs, how: How, ask: Ask, note: str) -> Comparison:
    """Rows that one side has more of than the other."""
    rows = max(schema.rows_before, schema.rows_after)
    columns = pairs.comparable
    if rows > how.sample_above:
        note = f"{rows} rows without a usable key are counted, not compared"
        return replace(schema, note=note)
    if not columns:
        return replace(schema, note="the two have no column in common")
    names = ", ".join(f"v{n}" for n in range(len(columns)))
    sides = [
        "select "
        + ", ".join(f"{pair.of(place, how)} as v{n}" for n, pair in enumerate(columns))
        + f", {weight} as w from {side.relation}"
        for place, side, weight in ((0, pairs.before, -1), (1, pairs.after, 1))
    ]
    sql = (
        "select sum(case when g.d > 0 then g.d else 0 end),"
        " sum(case when g.d < 0 then -g.d else 0 end) from"
        f" (select sum(u.w) as d from ({' union all '.join(sides)}) u group by {names}) g"
    )
    ((added, removed),) = ask(sql, 1)
    return replace(schema, added=int(added or 0), removed=int(removed or 0), note=note)
