"""How a project stands, read from the history."""

from __future__ import annotations

from datetime import datetime

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.history import NodeRecord
from dbtorch.core.standing import Standing


def standing(transaction: Transaction, project: str, target: str) -> Standing:
    """What the newest run of each pipeline, the last successes and the last checks say."""
    values = {"project": project}
    if not target:
        newest = transaction.one(statements.NEWEST_TARGET, values)
        if newest is None:
            return Standing()
        target = newest["target"]
    values["target"] = target
    runs = [rows.summary(row, {}) for row in transaction.all(statements.LAST_RUNS, values)]
    ends: dict[str, NodeRecord] = {}
    last = {run.pipeline: run for run in runs}  # the newest come last
    for run in sorted(last.values(), key=lambda run: (run.started_at, run.run_id)):
        for row in transaction.all(statements.GET_NODES, {"run_id": run.run_id}):
            ends[row["node_id"]] = rows.node_record(row, ())
    successes = transaction.all(statements.LAST_SUCCESSES, values)
    checks = [rows.attempt_of(row) for row in transaction.all(statements.LAST_CHECKS, values)]
    return Standing(
        target=target,
        runs=tuple(runs),
        successes={row["node_id"]: datetime.fromisoformat(row["found"]) for row in successes},
        ends=ends,
        checks=dict(checks),
    )
