"""Whose node it is, where it does not say so itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.measure import relation_of

_TESTS = (Kind.TEST, Kind.UNIT_TEST)


def owned(
    nodes: Iterable[Node],
    *,
    among: Sequence[Node],
    edges: Sequence[tuple[str, str]],
    folders: Mapping[str, str],
    otherwise: str,
) -> list[Node]:
    """The nodes with owners: their own word, the exposure they feed, the folder, ``otherwise``.

    ``among`` are all of dbt's resources, with their ``edges``; a test is of whoever owns what it
    looks at. The owner is empty where nobody is named.
    """
    nodes = list(nodes)
    if not (folders or otherwise or any(node.owner for node in (*nodes, *among))):
        return nodes  # nobody is named
    known = {node.id: node for node in among}
    looked_at = _looked_at(known, edges)
    fed = _fed(among, edges)

    def words(node: Node) -> Iterator[str]:
        yield node.owner
        tested = looked_at.get(node.id, [])
        if node.kind is Kind.CHECK:
            tested = [id for id in (relation_of(node.id),) if id in known]
        yield from (known[id].owner for id in tested)
        yield from (fed.get(id, "") for id in (node.id, *tested))
        yield from (owner_by_folder(known[id].path, folders) for id in tested)
        yield owner_by_folder(node.path, folders)
        yield otherwise

    return [replace(node, owner=next(filter(None, words(node)), "")) for node in nodes]


def _looked_at(known: Mapping[str, Node], edges: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """What each test is about."""
    found: dict[str, list[str]] = {}
    for before, after in edges:
        if before in known and after in known and known[after].kind in _TESTS:
            found.setdefault(after, []).append(before)
    return found


def _fed(among: Sequence[Node], edges: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The owner of the first exposure behind each node."""
    exposures = [node for node in among if node.kind is Kind.EXPOSURE and node.owner]
    if not exposures:
        return {}
    graph, found = Graph(among, edges), dict[str, str]()
    for exposure in exposures:
        for id in graph.ancestors(exposure.id):
            found.setdefault(id, exposure.owner)
    return found


def owner_by_folder(path: str, folders: Mapping[str, str]) -> str:
    """The owner of the innermost folder that a file is in."""
    inside = [
        folder for folder in folders if f"{path}/".startswith(f"{folder.strip('/')}/") and path
    ]
    return folders[max(inside, key=len)] if inside else ""
