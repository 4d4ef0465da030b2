"""Comparing what a pull request has built with production, model by model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from dbtorch.core.ci.code import Code, Resource
from dbtorch.core.ci.comparison import Column, How, Side, compare
from dbtorch.core.ci.result import Compared
from dbtorch.core.errors import EngineError
from dbtorch.core.model.graph import Kind
from dbtorch.ports.engine import Engine

_HELD = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT)

_NO_HISTORY = "not compared: its history begins here, and production's is longer (--clone copy)"


def compare_all(
    built: Iterable[Resource],
    production: Code,
    engine: Engine,
    how: How,
    *,
    cloned: Collection[str] = (),
) -> Iterator[Compared]:
    """Compare each of what was built, where production has it; ``cloned`` are names."""
    for one in built:
        if one.kind not in _HELD or one.materialized == "ephemeral" or not one.relation:
            continue
        old = production.resources.get(one.id)
        if old is None:
            yield Compared(id=one.id, name=one.name, note="new: production has none")
            continue
        if one.kind is Kind.SNAPSHOT and one.name not in cloned:
            yield Compared(id=one.id, name=one.name, note=_NO_HISTORY)
            continue
        yield _compared(one, old, engine, how)


def _compared(one: Resource, old: Resource, engine: Engine, how: How) -> Compared:
    try:
        before, after = _side(old, engine), _side(one, engine)
        missing = [side.relation for side in (before, after) if not side.columns]
        if missing:
            return Compared(
                id=one.id,
                name=one.name,
                note=f"not compared: {missing[0]} is not there, or may not be read",
                failed=True,
            )
        found = compare(before, after, one.key or old.key, engine.rows, how)
    except EngineError as error:
        return Compared(
            id=one.id,
            name=one.name,
            note=f"not compared: {' '.join(str(error).split())}",
            failed=True,
        )
    return Compared(id=one.id, name=one.name, comparison=found)


def _side(one: Resource, engine: Engine) -> Side:
    found = engine.columns(one.database, one.schema, one.identifier)
    return Side(
        relation=one.relation,
        columns=tuple(Column(name=name, quoted=sql, type=type) for name, sql, type in found),
    )
