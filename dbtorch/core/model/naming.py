"""What nodes are called where people read about them, and which node is meant by such a name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from dbtorch.core.failures.message import one_line
from dbtorch.core.model.graph import Kind, Node


class Named(Protocol):
    """Whatever has a name: a node, or the record of one."""

    @property
    def id(self) -> str:
        """Dbt's unique_id, or a step's or check's."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    @property
    def name(self) -> str:
        """As its author wrote it."""


N = TypeVar("N", bound=Named)


def short_name(node: Named) -> str:
    """The name of a node, with its version: dbt gives all versions of a model the same name."""
    _, found, tail = node.id.rpartition(f".{node.name}.")
    is_version = bool(found) and tail.startswith("v") and node.kind is Kind.MODEL
    return one_line(f"{node.name}.{tail}" if is_version else node.name)


def label(node: Named) -> str:
    """What a node is called in a list and in a sentence: its kind and its name."""
    return f"{node.kind} {short_name(node)}"


def names_among(nodes: Iterable[Named]) -> Mapping[str, str]:
    """Names in a list without kinds, by id: with the kind where a name alone is not clear.

    A check has the name of what it looks at.
    """
    all = list(nodes)
    short = {node.id: short_name(node) for node in all}
    count = Counter(short[node.id] for node in all if node.kind is not Kind.CHECK)
    taken = {node.id for node in all} | {label(node) for node in all}
    return {
        node.id: label(node)
        if node.kind is Kind.CHECK or count[short[node.id]] > 1 or short[node.id] in taken
        else short[node.id]
        for node in all
    }


def named_apart(nodes: Iterable[Node], among: Iterable[Node]) -> list[Node]:
    """The same nodes; those whose kind has another of that name get more of their id as one.

    dbt gives the unit tests of all versions of a model the same name, and so may packages.
    """
    known = {node.id: node for node in among}
    count = Counter(label(node) for node in known.values())
    return [
        replace(node, name=_apart(node, known)) if count[label(node)] > 1 else node
        for node in nodes
    ]


def _apart(node: Node, known: Mapping[str, Node]) -> str:
    """The shortest end of the id that no other node of the kind has, or is called."""
    others = [one for one in known.values() if one.kind is node.kind and one.id != node.id]
    parts = node.id.split(".")
    for start in range(len(parts) - 1, 0, -1):
        end = ".".join(parts[start:])
        if not any(f".{one.id}".endswith(f".{end}") or one.name == end for one in others):
            return end
    return node.id


def called_apart(
    names: Mapping[str, str], called: Callable[[str], str], *, longest: int = 100
) -> dict[str, str]:
    """What names are, by key, where others know fewer characters: no two of them the same.

    Those that ``called`` makes the same but for case, or that are too long, end in a hash.
    """
    found = {key: called(name) for key, name in names.items()}
    count = Counter(text.lower() for text in found.values())
    for key, text in found.items():
        if count[text.lower()] > 1 or len(text) > longest:
            digest = hashlib.sha256(key.encode()).hexdigest()[:8]
            found[key] = called(f"{names[key][: longest - 9]}-{digest}")
    return found


def meant(nodes: Sequence[N], text: str) -> list[N]:
    """Nodes that a text may mean: all of those that fit it best; several where it is not clear.

    An id, a name as it is printed, ``kind:name``, a name, or what an id ends with after a dot.
    """
    for fits in (
        lambda node: node.id == text,
        lambda node: (
            label(node) == text or f"{node.kind}:{label(node)[len(node.kind) + 1 :]}" == text
        ),
        lambda node: short_name(node) == text,
        lambda node: node.name == text,
        lambda node: node.id.endswith(f".{text}"),
    ):
        found = [node for node in nodes if fits(node)]
        if len(found) > 1:  # who names a model means the model, not what checks it
            found = [node for node in found if node.kind is not Kind.CHECK] or found
        if found:
            return found
    return []
