"""Batches of microbatch models: what a run has planned to build of each, and what is built."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.errors import StoreError
from dbtorch.core.model.events import MicrobatchBuilt, MicrobatchesPlanned, Progress, Window

# What is planned again may have been built for an attempt that lost its table since.
_PLAN = """
    INSERT INTO dbtorch_microbatches (run_id, node_id, begins_at, ends_at)
    VALUES (:run_id, :node_id, :begins_at, :ends_at)
    ON CONFLICT (run_id, node_id, begins_at, ends_at) DO UPDATE SET built = 0
"""

_BUILT = """
    UPDATE dbtorch_microbatches SET built = 1
    WHERE run_id = :run_id AND node_id = :node_id
        AND begins_at = :begins_at AND ends_at = :ends_at
"""

_ANEW = "UPDATE dbtorch_microbatches SET built = 0 WHERE run_id = :run_id AND node_id = :node_id"

_ALL = f"""
    SELECT node_id, begins_at, ends_at, built FROM dbtorch_microbatches m
    WHERE run_id = :run_id AND EXISTS (
        SELECT 1 FROM dbtorch_runs r WHERE r.run_id = m.run_id AND {statements.MINE}
    )
    ORDER BY node_id, begins_at
"""


def note(transaction: Transaction, of: Mapping[str, Any], progress: Sequence[Progress]) -> None:
    """Write what attempts plan and have built. Raises `StoreError` for an unknown run.

    ``of`` says which run, and whose. No attempt has built what it has not planned before.
    """
    run_id = of["run_id"]
    series = transaction.one(statements.RUN_SERIES, of)
    if series is None:
        raise StoreError(f"there is no run {run_id} to record progress of")
    planned = [
        _values(run_id, event.attempt.node_id, window)
        for event in progress
        if isinstance(event, MicrobatchesPlanned)
        for window in event.windows
    ]
    transaction.many(_PLAN, planned)
    built = [
        _values(run_id, event.attempt.node_id, event.window)
        for event in progress
        if isinstance(event, MicrobatchBuilt)
    ]
    transaction.many(_BUILT, built)
    from dbtorch.adapters.store.schedule import partitions  # few runs have any

    partitions.write_batches(transaction, run_id, series, planned, built)


def build_anew(transaction: Transaction, run_id: str, nodes: Collection[str]) -> None:
    """Write that no batch of these is built."""
    transaction.many(_ANEW, [{"run_id": run_id, "node_id": id} for id in sorted(nodes)])


def microbatches(transaction: Transaction, of: Mapping[str, Any]) -> dict[str, dict[Window, bool]]:
    """Batches of each node, and whether they are built."""
    found: defaultdict[str, dict[Window, bool]] = defaultdict(dict)
    with rows.reading("dbtorch_microbatches"):
        for row in transaction.all(_ALL, of):
            begins_at, ends_at = map(datetime.fromisoformat, (row["begins_at"], row["ends_at"]))
            found[row["node_id"]][begins_at, ends_at] = bool(row["built"])
    return dict(found)


def _values(run_id: str, node_id: str, window: Window) -> dict[str, Any]:
    begins_at, ends_at = map(rows.moment, window)
    return {"run_id": run_id, "node_id": node_id, "begins_at": begins_at, "ends_at": ends_at}
