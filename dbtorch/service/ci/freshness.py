"""How fresh the sources are that a pull request's nodes read: said, and holding nothing back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbtorch.core.ci.code import Code, Resource
from dbtorch.core.ci.result import SourceAge
from dbtorch.core.errors import EngineError
from dbtorch.core.model.freshness import status_of
from dbtorch.service.ci.session import CiSession


def look_at_sources(
    session: CiSession, built: Iterable[Resource], now: Code, production: Code
) -> Iterator[SourceAge]:
    """Check the sources that something built reads where production does, by dbt's rules.

    To be asked before the session is connected. One that cannot be checked is said to be so.
    """
    read = {id for one in built for id in one.parents}
    known = session.selected.freshness
    own = {
        id
        for id, there in production.sources.items()
        if id in now.sources and now.sources[id].place != there.place
    }
    ids = sorted(id for id in (read & known.keys()) - own if known[id].checkable)
    if not ids:
        return
    names = {node.id: node.name for node in session.selected.nodes}
    try:
        outcomes = session.engine.check_sources(ids)
    except EngineError as error:
        for id in ids:
            yield SourceAge(id=id, name=names[id], status="unknown", message=str(error))
        return
    for id, outcome in zip(ids, outcomes, strict=True):
        said = outcome.details.get("source") or {}
        age = said.get("max_loaded_at_time_ago_in_s")
        yield SourceAge(
            id=id,
            name=names[id],
            status=(status_of(said) if age is not None else "") or "unknown",
            age=None if age is None else float(age),
            message=outcome.message,
        )
