"""The graph of a project: dbt resources, sources and steps, and the order they need."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a node is: dbt's resource types, sources, steps, and the two ends of a dbt session."""

    MODEL = "model"
    SEED = "seed"
    SNAPSHOT = "snapshot"
    TEST = "test"
    UNIT_TEST = "unit_test"
    FUNCTION = "function"
    SAVED_QUERY = "saved_query"
    EXPOSURE = "exposure"
    SOURCE = "source"
    OPERATION = "operation"  # an on-run-start or on-run-end hook; runs inside the session's ends
    STEP = "step"  # dbtorch's own: ingestion, downstream push, sensor
    CHECK = "check"  # dbtorch's own: looks at the relation of a source or of a model
    SESSION = "session"  # opening or closing the dbt session; never shown among the nodes

    @classmethod
    def of(cls, unique_id: str) -> Kind | None:
        """For what only has an id, as events and artifacts of dbt; None for a macro and the like.

        Who has a node asks that.
        """
        return cls._value2member_map_.get(unique_id.partition(".")[0])  # type: ignore[return-value]

    def id_of(self, name: str) -> str:
        """The id of a node of this kind that is dbtorch's own."""
        return f"{self.value}.{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A vertex of the graph.

    ``id`` is dbt's ``unique_id``, or ``step.<name>`` for a step.
    """

    id: str
    kind: Kind
    name: str
    package: str = ""
    path: str = ""  # file that defines it, relative to the project
    patch_path: str = ""  # YAML file that describes it, where that is another one
    materialized: str = ""  # dbt's materialization; empty for everything that has none
    owner: str = ""
    runbook: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    description: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)  # dbt's meta, as written
    checksum: str = ""  # changes with the code that is executed; empty where nobody knows
    splits: bool = False  # dbt may execute it as several queries side by side (microbatch)
    full_refresh: bool | None = None  # dbt's config; None: as the option of the command says
    on_error: str = ""  # dbt's config of a model: "continue" when those after it may run anyway


#: Kinds that `dbt build` executes. Exposures are executed by some versions, and come to nothing.
BUILT = frozenset(
    {
        Kind.MODEL,
        Kind.SEED,
        Kind.SNAPSHOT,
        Kind.TEST,
        Kind.UNIT_TEST,
        Kind.FUNCTION,
        Kind.SAVED_QUERY,
        Kind.EXPOSURE,
    }
)

#: Kinds that every execution of a run executes anew.
EVERY_TIME = (Kind.SESSION, Kind.OPERATION)

#: Kinds that look at what others build: where that is not built, nobody counts them as blocked.
LOOKERS = (Kind.TEST, Kind.UNIT_TEST, Kind.CHECK)


class CycleError(ValueError):
    """The graph has a cycle; ``cycle`` lists its node ids, the first one again at the end."""

    def __init__(self, cycle: tuple[str, ...]) -> None:
        self.cycle = cycle
        super().__init__("the graph has a cycle: " + " -> ".join(cycle))


class Graph:
    """Nodes and edges, acyclic. Immutable once built.

    An edge ``(a, b)`` says that ``b`` comes after ``a``.
    """

    __slots__ = ("_children", "_order", "_parents", "nodes")

    def __init__(self, nodes: Iterable[Node], edges: Iterable[tuple[str, str]]) -> None:
        """Raise `CycleError` for a cycle and `KeyError` for an edge to an unknown node."""
        self.nodes: Mapping[str, Node] = {node.id: node for node in nodes}
        children: dict[str, dict[str, None]] = {id: {} for id in self.nodes}
        parents: dict[str, dict[str, None]] = {id: {} for id in self.nodes}
        for before, after in edges:
            children[before][after] = None
            parents[after][before] = None
        self._children = {id: tuple(found) for id, found in children.items()}
        self._parents = {id: tuple(found) for id, found in parents.items()}
        self._order = self._sorted()

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, id: str) -> bool:
        return id in self.nodes

    def parents(self, id: str) -> tuple[str, ...]:
        """Nodes that must be done before this one, direct ones only."""
        return self._parents[id]

    def children(self, id: str) -> tuple[str, ...]:
        """Nodes that wait for this one, direct ones only."""
        return self._children[id]

    def edges(self) -> Iterator[tuple[str, str]]:
        """Every edge, as ``(before, after)``."""
        for before, found in self._children.items():
            for after in found:
                yield before, after

    def order(self) -> tuple[str, ...]:
        """All ids, parents before children; ties in the order the nodes were given."""
        return self._order

    def descendants(self, *ids: str) -> set[str]:
        """Everything that comes after any of these, without them."""
        return self._reach(ids, self._children)

    def ancestors(self, *ids: str) -> set[str]:
        """Everything that comes before any of these, without them."""
        return self._reach(ids, self._parents)

    def nearest(self, id: str, among: frozenset[str] | set[str]) -> set[str]:
        """Members of ``among`` that are reached from ``id`` without passing another member."""
        found: set[str] = set()
        seen = {id}
        queue = deque(self._children[id])
        while queue:
            current = queue.popleft()
            if current in seen:
                continue
            seen.add(current)
            if current in among:
                found.add(current)
            else:
                queue.extend(self._children[current])
        return found

    def longest_paths(self, cost: Mapping[str, float]) -> dict[str, float]:
        """Cost of the most expensive path from each node to an end, the node's own included."""
        remaining: dict[str, float] = {}
        for id in reversed(self._order):
            after = max((remaining[child] for child in self._children[id]), default=0.0)
            remaining[id] = cost.get(id, 0.0) + after
        return remaining

    def critical_path(self, cost: Mapping[str, float]) -> tuple[str, ...]:
        """The most expensive path through the graph; empty for an empty graph."""
        remaining = self.longest_paths(cost)
        roots = [id for id in self._order if not self._parents[id]]
        path: list[str] = []
        following: Iterable[str] = roots
        while best := max(following, key=remaining.__getitem__, default=None):
            path.append(best)
            following = self._children[best]
        return tuple(path)

    @staticmethod
    def _reach(ids: Iterable[str], steps: Mapping[str, tuple[str, ...]]) -> set[str]:
        start = set(ids)
        found: set[str] = set()
        stack = list(start)
        while stack:
            for following in steps[stack.pop()]:
                if following not in found:
                    found.add(following)
                    stack.append(following)
        return found - start

    def _sorted(self) -> tuple[str, ...]:
        waiting = {id: len(found) for id, found in self._parents.items()}
        ready = deque(id for id, count in waiting.items() if count == 0)
        order: list[str] = []
        while ready:
            current = ready.popleft()
            order.append(current)
            for child in self._children[current]:
                waiting[child] -= 1
                if waiting[child] == 0:
                    ready.append(child)
        if len(order) < len(self.nodes):
            raise CycleError(self._cycle({id for id, count in waiting.items() if count > 0}))
        return tuple(order)

    def _cycle(self, stuck: set[str]) -> tuple[str, ...]:
        """Walk backwards among nodes that never became ready until one repeats."""
        walk: list[str] = [min(stuck)]
        while True:
            parent = next(found for found in self._parents[walk[-1]] if found in stuck)
            if parent in walk:
                cycle = walk[walk.index(parent) :]
                return (parent, *reversed(cycle))
            walk.append(parent)
