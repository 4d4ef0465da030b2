"""Writing a run that begins, or that goes on where an earlier supervisor left it."""

from __future__ import annotations

from collections.abc import Sequence

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.changes import write_changes
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.events import Changed
from dbtorch.core.graph import Node
from dbtorch.core.history import RunRecord


def begin_run(
    transaction: Transaction, run: RunRecord, nodes: Sequence[Node], changes: Sequence[Changed]
) -> None:
    """Write a run and its nodes; new ones are pending, known ones as ``changes`` leave them."""
    transaction.run(statements.PUT_RUN, rows.run_values(run))
    known = transaction.all(statements.NODE_IDS, {"run_id": run.run_id})
    places = [rows.node_values(run.run_id, place, node) for place, node in enumerate(nodes)]
    transaction.many(statements.PUT_NODE, places)
    gone = {row["node_id"] for row in known} - {node.id for node in nodes}
    moved = [{"run_id": run.run_id, "node_id": id, "places": len(nodes)} for id in sorted(gone)]
    transaction.many(statements.MOVE_NODE, moved)
    if changes:
        write_changes(transaction, run.run_id, changes)
