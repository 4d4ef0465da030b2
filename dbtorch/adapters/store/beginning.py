"""Writing a run that begins, or that goes on where an earlier supervisor left it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.graph import Kind, Node
from dbtorch.core.history import RunRecord
from dbtorch.core.state import State

#: What became of attempts whose supervisor died.
LOST = "lost: the supervisor ended before the attempt did"

#: Why a node of a resumed run will not end otherwise any more.
LEFT_OUT = "no longer part of the run"

#: Kinds whose earlier success says nothing: every stretch of a run executes them anew.
_EVERY_TIME = (Kind.SESSION, Kind.OPERATION)


def begin_run(transaction: Transaction, run: RunRecord, nodes: Sequence[Node]) -> None:
    """Write a run and its nodes, all pending but for what an earlier stretch did well."""
    transaction.run(statements.PUT_RUN, rows.run_values(run))
    known = _known(transaction, run.run_id)
    places = [rows.node_values(run.run_id, place, node) for place, node in enumerate(nodes)]
    transaction.many(statements.PUT_NODE, places)
    if known:
        _resume(transaction, run.run_id, nodes, known)


def _known(transaction: Transaction, run_id: str) -> dict[str, State]:
    found = transaction.all(statements.NODE_STATES, {"run_id": run_id})
    return {row["node_id"]: State(row["state"]) for row in found}


def _resume(
    transaction: Transaction, run_id: str, nodes: Sequence[Node], known: dict[str, State]
) -> None:
    id = {"run_id": run_id}
    transaction.run(statements.CLOSE_LOST_ATTEMPTS, {**id, "message": LOST})
    again = [node.id for node in nodes if node.id in known and _again(node, known[node.id])]
    transaction.many(statements.RESET_NODE, [{**id, "node_id": node_id} for node_id in again])
    gone = known.keys() - {node.id for node in nodes}
    places: list[dict[str, Any]] = [
        {**id, "node_id": node_id, "places": len(nodes)} for node_id in gone
    ]
    transaction.many(statements.MOVE_NODE, places)
    left = [
        {**id, "node_id": node_id, **_left(known[node_id])}
        for node_id in gone
        if not known[node_id].final
    ]
    transaction.many(statements.LEAVE_NODE, left)


def _again(node: Node, state: State) -> bool:
    return not state.ok or node.kind in _EVERY_TIME


def _left(state: State) -> dict[str, str]:
    """How a node ends that was open when its supervisor died and is in no plan any more."""
    if state is State.PENDING:
        return {"state": State.SKIPPED.value, "reason": LEFT_OUT}
    return {"state": State.FAILED.value, "reason": LOST}
