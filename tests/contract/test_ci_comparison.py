"""A comparison in the warehouse comes to what a slow one in Python does, on every warehouse."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
import pytest

from dbtorch.core.ci.comparison import EXAMPLES, Column, Comparison, How, Retyped, Side, compare

TOLERANCE = 1e-9

TYPES = {
    "int": "bigint",
    "text": "varchar",
    "float": "double precision",
    "bool": "boolean",
    "day": "date",
    "money": "decimal(18, 4)",
    "at": "timestamp",
}


@dataclass
class Warehouse:
    """Where tables are made and asked."""

    execute: Callable[..., Any]
    insert: Callable[[str, Sequence[Sequence[Any]]], Any]
    fetch: Callable[[str, int], Sequence[Sequence[Any]]]
    adapter: str

    def table(self, name: str, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> Side:
        """A table, and what the comparison is told of it."""
        self.execute(f"drop table if exists {name}")
        listed = ", ".join(f'"{column}" {type}' for column, type in columns.items())
        self.execute(f"create table {name} ({listed})")
        if rows:
            self.insert(name, rows)
        return Side(
            relation=name,
            columns=tuple(
                Column(name=column, quoted=f'"{column}"', type=type)
                for column, type in columns.items()
            ),
        )


POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(params=["duckdb", POSTGRES])
def warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    if request.param == "duckdb":
        with duckdb.connect() as duck:

            def put(name: str, rows: Sequence[Sequence[Any]]) -> None:
                marks = ", ".join("?" * len(rows[0]))
                duck.executemany(f"insert into {name} values ({marks})", rows)

            def ask(sql: str, most: int) -> Sequence[Sequence[Any]]:
                return duck.execute(sql).fetchmany(most)

            yield Warehouse(duck.execute, put, ask, "duckdb")
        return
    with psycopg.connect(
        request.getfixturevalue("postgres_url"), autocommit=True, prepare_threshold=None
    ) as connection:

        def put(name: str, rows: Sequence[Sequence[Any]]) -> None:
            marks = ", ".join(["%s"] * len(rows[0]))
            connection.cursor().executemany(f"insert into {name} values ({marks})", rows)

        def ask(sql: str, most: int) -> Sequence[Sequence[Any]]:
            return connection.execute(sql).fetchmany(most)

        yield Warehouse(connection.execute, put, ask, "postgres")


# ---------------------------------------------------------------- generated tables


def value(kind: str, dice: random.Random) -> Any:
    if dice.random() < 0.15:
        return None
    makers: dict[str, Callable[[], Any]] = {
        "int": lambda: dice.randint(-3, 3),
        "text": lambda: dice.choice(["", "a", "A", "it's", "ü", " a"]),
        "float": lambda: dice.choice(
            [0.0, -0.0, 0.1, 1e-300, math.inf, -math.inf, math.nan, 1e308]
        ),
        "bool": lambda: dice.random() < 0.5,
        "day": lambda: date(2026, 1, dice.randint(1, 3)),
        "money": lambda: Decimal(dice.randint(-2, 2)) / 10,
        "at": lambda: datetime(2026, 1, 1, dice.randint(0, 2)),  # noqa: DTZ001
    }
    return makers[kind]()


def nudged(kind: str, old: Any, dice: random.Random) -> Any:
    """Another value, or one that differs by less than the tolerance."""
    if kind == "float" and isinstance(old, float) and dice.random() < 0.5:
        return old * (1 + 1e-12) if abs(old) < 1e100 else old
    return value(kind, dice)


@dataclass
class Pair:
    """Two tables and their key."""

    columns: dict[str, str]
    key: list[str]
    before: list[list[Any]]
    after: list[list[Any]]


def generated(seed: int) -> Pair:
    dice = random.Random(seed)
    kinds = {f"c {n}": dice.choice([*TYPES]) for n in range(dice.randint(1, 5))}
    key = dice.choice([["id"], ["id", "Part"], [], ["id"]])
    keys = [[n // 3, "xyz"[n % 3]] if len(key) == 2 else [n] for n in range(dice.randint(0, 30))]
    if not key:
        keys = [[] for _ in keys]
    names = {"id": "bigint", "Part": "varchar"}
    columns = {**{name: names[name] for name in key}, **{n: TYPES[k] for n, k in kinds.items()}}
    before = [[*one, *(value(kind, dice) for kind in kinds.values())] for one in keys]
    after = []
    calm = dice.random() < 0.2
    for row in before:
        draw = 1 if calm else dice.random()
        if draw < 0.1:
            continue
        head, values = row[: len(key)], row[len(key) :]
        if draw < 0.5:
            values = [nudged(k, v, dice) for k, v in zip(kinds.values(), values, strict=True)]
        after.append([*head, *values])
    for n in range(0 if calm else dice.randint(0, 4)):
        head = [[], [100 + n], [100 + n, "x"]][len(key)]
        after.append([*head, *(value(kind, dice) for kind in kinds.values())])
    trouble = dice.random()
    if key and after and trouble < 0.15:
        after.append([*after[0]])  # a key twice
    elif key and before and trouble < 0.3:
        before[0][0] = None  # a key that is none
    dice.shuffle(after)
    return Pair(columns, key, before, after)


def equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        near = max(abs(one), abs(other)) < 1e150
        return one == other or (near and abs(one - other) <= TOLERANCE * (abs(one) + abs(other)))
    return bool(one == other)


def hashable(one: Any) -> Any:
    if isinstance(one, float):
        return "nan" if math.isnan(one) else one + 0.0
    return one


def reference(pair: Pair) -> dict[str, Any]:
    """What a comparison comes to, slowly."""
    width = len(pair.key)
    keys = [[tuple(row[:width]) for row in rows] for rows in (pair.before, pair.after)]
    usable = width and all(
        len(set(side)) == len(side) and all(None not in one for one in side) for side in keys
    )
    if not usable:
        bags = [
            Counter(tuple(map(hashable, row)) for row in rows) for rows in (pair.before, pair.after)
        ]
        return {
            "added": (bags[1] - bags[0]).total(),
            "removed": (bags[0] - bags[1]).total(),
            "changed": None,
            "columns_changed": {},
            "keys": {},
        }
    old = {tuple(row[:width]): row[width:] for row in pair.before}
    new = {tuple(row[:width]): row[width:] for row in pair.after}
    both = old.keys() & new.keys()
    names = [*pair.columns][width:]
    differ = {
        name: {one for one in both if not equal(old[one][place], new[one][place])}
        for place, name in enumerate(names)
    }
    found = {
        "added": new.keys() - old.keys(),
        "removed": old.keys() - new.keys(),
        "changed": set().union(*differ.values()),
    }
    return {
        **{what: len(ones) for what, ones in found.items()},
        "columns_changed": {name: len(ones) for name, ones in differ.items() if ones},
        "keys": {
            what: tuple(tuple(map(str, one)) for one in sorted(ones)[:EXAMPLES])
            for what, ones in found.items()
            if ones
        },
    }


def of(found: Comparison) -> dict[str, Any]:
    return {
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "columns_changed": dict(found.columns_changed),
        "keys": dict(found.examples),
    }


def test_it_comes_to_what_a_slow_comparison_does(warehouse: Warehouse) -> None:
    kinds = Counter[str]()
    for seed in range(120):
        pair = generated(seed)
        before = warehouse.table("was", pair.columns, pair.before)
        after = warehouse.table("now", pair.columns, pair.after)
        how = How(adapter=warehouse.adapter, tolerance=TOLERANCE)
        found = compare(before, after, pair.key, warehouse.fetch, how)
        expected = reference(pair)
        assert of(found) == expected, seed
        assert (found.rows_before, found.rows_after) == (len(pair.before), len(pair.after))
        assert found.same is not any([found.added, found.removed, found.changed]), seed
        kinds["keyed" if found.key else found.note.rpartition(" so ")[0]] += 1
        kinds["same"] += found.same
    # all of it was there: keys, none, those that are no keys, and tables that do not differ
    assert kinds["keyed"] > 30
    assert len(kinds) >= 5
    assert min(kinds.values()) > 1, kinds


def test_columns_that_come_go_and_change_their_type(warehouse: Warehouse) -> None:
    before = warehouse.table("was", {"ID": "bigint", "a": "bigint", "b": "bigint"}, [[1, 2, 3]])
    after = warehouse.table("now", {"id": "bigint", "a": "varchar", "c": "bigint"}, [[1, "2", 3]])
    found = compare(before, after, ["id"], warehouse.fetch, How(adapter=warehouse.adapter))
    assert (found.columns_added, found.columns_removed) == (("c",), ("b",))
    assert found.columns_retyped == (Retyped(name="a", before="bigint", after="varchar"),)
    assert (found.key, found.changed, found.same) == (("id",), 0, False)


def test_ignored_columns_are_not_looked_at(warehouse: Warehouse) -> None:
    columns = {"id": "bigint", "Loaded_At": "bigint"}
    before = warehouse.table("was", columns, [[1, 1]])
    after = warehouse.table("now", {**columns, "_batch": "bigint"}, [[1, 2, 3]])
    how = How(adapter=warehouse.adapter, ignore=("loaded_*", "_BATCH"))
    assert compare(before, after, ["id"], warehouse.fetch, how).same
    assert compare(before, after, [], warehouse.fetch, how).same


def test_two_relations_without_a_common_column(warehouse: Warehouse) -> None:
    before = warehouse.table("was", {"a": "bigint"}, [[1]])
    after = warehouse.table("now", {"b": "bigint"}, [[1]])
    found = compare(before, after, ["a"], warehouse.fetch, How(adapter=warehouse.adapter))
    assert found.note == "the two have no column in common"
    assert (found.added, found.same) == (None, False)


@pytest.mark.parametrize("warehouse", [POSTGRES], indirect=True)
def test_columns_whose_names_differ_in_case_alone_are_two(warehouse: Warehouse) -> None:
    columns = {"id": "bigint", "Id": "bigint", "group": "bigint"}
    before = warehouse.table("was", columns, [[1, 1, 1]])
    after = warehouse.table("now", columns, [[2, 1, 1]])
    how = How(adapter=warehouse.adapter)
    assert compare(before, after, [], warehouse.fetch, how).added == 1
    by_key = compare(before, after, ["Id"], warehouse.fetch, how)
    assert (by_key.key, by_key.columns_changed) == (("Id",), {"id": 1})


def test_json_has_no_equality_of_its_own(warehouse: Warehouse) -> None:
    columns = {"id": "bigint", "said": "json"}
    before = warehouse.table("was", columns, [[1, '{"a": 1}'], [2, "{}"]])
    after = warehouse.table("now", columns, [[1, '{"a": 2}'], [2, "{}"]])
    how = How(adapter=warehouse.adapter)
    assert compare(before, after, ["id"], warehouse.fetch, how).columns_changed == {"said": 1}
    assert compare(before, after, [], warehouse.fetch, how).added == 1


def test_a_large_relation_is_sampled_by_its_keys(warehouse: Warehouse) -> None:
    rows = [[n, n % 7] for n in range(2000)]
    before = warehouse.table("was", {"id": "bigint", "a": "bigint"}, rows)
    changed = [[n, 8 if n % 2 else a] for n, a in rows]
    after = warehouse.table("now", {"id": "bigint", "a": "bigint"}, changed)
    how = How(adapter=warehouse.adapter, sample_above=500)
    found = compare(before, after, ["id"], warehouse.fetch, how)
    assert found.share == 0.25
    assert 300 < found.in_both < 700
    assert found.added == found.removed == 0  # the same keys on both sides
    assert found.changed is not None
    assert 0.4 < found.changed / found.in_both < 0.6
    same = compare(before, before, ["id"], warehouse.fetch, how)
    assert (same.changed, same.same) == (0, False)  # nobody has seen the rest
    bags = compare(before, after, [], warehouse.fetch, how)
    assert (bags.added, bags.same) == (None, False)
    assert "are counted, not compared" in bags.note
