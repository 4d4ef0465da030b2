"""What an earlier execution of a run has left: relations, outputs, and code that was another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dbtorch.core.history.records import NodeRecord, RunRecord
from dbtorch.core.model.graph import EVERY_TIME, Graph, Kind, Node
from dbtorch.core.model.state import State

#: Materializations that leave a relation of the node's name; others may leave anything.
_RELATIONS = frozenset({"table", "view", "incremental", "seed", "snapshot"})


def differences(earlier: RunRecord, graph: Graph) -> list[str]:
    """What is not as it was when the run was planned, as a person would name it.

    Sorted, as a graph's nodes are in no order: dbt parses changed files in that of a set.
    """
    known = {node.id: node for node in earlier.nodes}
    changed = {
        where(node) for id, node in graph.nodes.items() if id in known and differs(known[id], node)
    }
    new = {
        f"{where(node)} (new)"
        for id, node in graph.nodes.items()
        if id not in known and node.kind not in EVERY_TIME
    }
    gone = {f"{where(node)} (gone)" for node in known.values() if is_gone(node, graph)}
    return [*sorted(changed), *sorted(new), *sorted(gone)]


def built(earlier: RunRecord, graph: Graph) -> list[str]:
    """What of a run has left a relation, and counts unless that is gone; in the graph's order.

    Of a microbatch model that failed the batches that are built count.
    """
    known = {node.id: node for node in earlier.nodes}
    return [
        id
        for id in graph.order()
        if id in known
        and known[id].materialized in _RELATIONS
        and not is_marked(known[id])
        and (known[id].state.ok or (graph.nodes[id].splits and known[id].attempts))
    ]


def outputs(earlier: RunRecord) -> dict[str, Any]:
    """What steps returned that succeeded, by name."""
    return {
        node.name: node.attempts[-1].output
        for node in earlier.nodes
        if node.kind is Kind.STEP and node.state.ok and not is_marked(node) and node.attempts
    }


def is_marked(node: NodeRecord) -> bool:
    """Whether a node's success is what a person said, and no attempt's."""
    said = node.state in (State.SUCCESS, State.WARN)
    return said and not (node.attempts and node.attempts[-1].state.ok)


def names(ids: Iterable[str], graph: Graph) -> str:
    """Files of nodes, each once, in the order of the graph."""
    chosen = set(ids)
    found = [where(graph.nodes[id]) for id in graph.order() if id in chosen]
    return ", ".join(dict.fromkeys(found))


def differs(before: NodeRecord, node: Node) -> bool:
    """Whether a node's code is another one; an older history may not know."""
    return bool(before.checksum and node.checksum) and before.checksum != node.checksum


def where(node: Node | NodeRecord) -> str:
    """What a person would call the place of a node's code."""
    return f"step {node.name}" if node.kind is Kind.STEP else node.path or node.id


def is_gone(node: NodeRecord, graph: Graph) -> bool:
    """Whether a node is in no plan any more."""
    return node.id not in graph and node.kind not in EVERY_TIME
