"""How a project stands, read from the history."""

from __future__ import annotations

from datetime import datetime

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.adapters.store.scope import Scope
from dbtorch.core.history.health import HealthFacts, last_ends


def standing(transaction: Transaction, scope: Scope, target: str) -> HealthFacts:
    """What the newest run of each pipeline, the last successes and the last checks say."""
    if not target:
        query = scope.seen(transaction, statements.newest("target", scope.targets))
        newest = transaction.one(query, scope.here)
        if newest is None:
            return HealthFacts()
        target = str(newest["target"])
    values = scope.series(transaction, target)
    last_runs, last_ends_, last_checks = (
        scope.seen(transaction, query)
        for query in (statements.LAST_RUNS, statements.LAST_ENDS, statements.LAST_CHECKS)
    )
    runs = [rows.summary(row, {}) for row in transaction.all(last_runs, values)]
    found = transaction.all(last_ends_, values)
    successes = transaction.all(statements.LAST_SUCCESSES, values)
    with rows.reading("dbtorch_attempts"):
        since = {row["node_id"]: datetime.fromisoformat(row["found"]) for row in successes}
    checks = [rows.attempt_of(row) for row in transaction.all(last_checks, values)]
    return HealthFacts(
        target=target,
        runs=tuple(runs),
        successes=since,
        ends=last_ends(rows.node_record(row, ()) for row in found),
        checks=dict(checks),
    )
