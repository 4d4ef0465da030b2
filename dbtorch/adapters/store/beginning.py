"""Writing a run that begins, or that goes on where an earlier supervisor left it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.changes import write_changes
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import Node


def begin_run(
    transaction: Transaction,
    mine: Mapping[str, Any],
    run: RunRecord,
    nodes: Sequence[Node],
    changes: Sequence[Changed],
) -> None:
    """Write a run and its nodes; new ones are pending, known ones as ``changes`` leave them.

    ``mine`` says whose it is. Raises `StoreError` for the run of another project.
    """
    if transaction.run(statements.PUT_RUN, {**rows.run_values(run), **mine}) == 0:
        raise StoreError(f"run {run.run_id} is another project's; nothing was written")
    known = transaction.all(statements.NODE_IDS, {"run_id": run.run_id})
    places = [rows.node_values(run.run_id, place, node) for place, node in enumerate(nodes)]
    transaction.many(statements.PUT_NODE, places)
    gone = {row["node_id"] for row in known} - {node.id for node in nodes}
    moved = [{"run_id": run.run_id, "node_id": id, "places": len(nodes)} for id in sorted(gone)]
    transaction.many(statements.MOVE_NODE, moved)
    if changes:
        write_changes(transaction, {**mine, "run_id": run.run_id}, changes)
