"""What leaves a history with its age."""

from __future__ import annotations

from datetime import datetime

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Database, Row, Transaction
from dbtorch.adapters.store.scope import Scope
from dbtorch.core.history.retention import RunAge, outlived
from dbtorch.core.model.interval import Interval

_RUNS = f"""
    SELECT run_id, place, target, pipeline, started_at, finished_at, data_interval_start,
        data_interval_end, state, partial,
        EXISTS (SELECT 1 FROM dbtorch_leases l WHERE l.run_id = r.run_id) AS held
    FROM dbtorch_runs r WHERE {statements.MINE}
"""

# Nodes, attempts, transitions, measurements and actions go with their run.
_DROP = (
    "DELETE FROM dbtorch_outbox WHERE run_id = :run_id AND project_id = :project_id",
    f"DELETE FROM dbtorch_runs WHERE run_id = :run_id AND {statements.MINE}",
)

_DROP_OLD = (
    "DELETE FROM dbtorch_backfills WHERE project_id = :project_id AND ended_at < :before",
    """
    DELETE FROM dbtorch_backfill_parts WHERE project_id = :project_id AND NOT EXISTS (
        SELECT 1 FROM dbtorch_backfills b
        WHERE b.project_id = :project_id AND b.backfill_id = dbtorch_backfill_parts.backfill_id
    )
    """,
    "DELETE FROM dbtorch_ticks WHERE project_id = :project_id AND ended_at < :before",
    """
    DELETE FROM dbtorch_incidents WHERE project = :project_id AND closed_at < :before
    """,
)


class SqlRetention:
    """Implements `Retention`."""

    _database: Database
    _scope: Scope

    def prune(self, before: datetime, *, most: int) -> list[str]:
        """Remove runs that ended before a time, the oldest first; answers which."""
        return self._database.write(self._prune, before, most)

    def outlived(self, before: datetime) -> list[str]:
        """Runs that `prune` would remove."""
        return self._database.read(self._outlived, before)

    def _prune(self, transaction: Transaction, before: datetime, most: int) -> list[str]:
        gone = self._outlived(transaction, before)[:most]
        mine = self._scope.mine
        for statement in _DROP:
            transaction.many(statement, [{**mine, "run_id": id} for id in gone])
        for statement in _DROP_OLD:
            transaction.run(statement, {**mine, "before": rows.moment(before)})
        return gone

    def _outlived(self, transaction: Transaction, before: datetime) -> list[str]:
        found = transaction.all(_RUNS, self._scope.mine)
        with rows.reading("dbtorch_runs"):
            return outlived([_age(row) for row in found], before)


def _age(row: Row) -> RunAge:
    start, end = row["data_interval_start"], row["finished_at"]
    return RunAge(
        run_id=row["run_id"],
        place=row["place"] or row["target"],
        pipeline=row["pipeline"],
        started_at=datetime.fromisoformat(row["started_at"]),
        ended_at=datetime.fromisoformat(end) if end else None,
        interval=Interval(
            datetime.fromisoformat(start) if start else None,
            datetime.fromisoformat(row["data_interval_end"]),
        ),
        whole_success=row["state"] == "success" and not row["partial"],
        held=bool(row["held"]),
    )
