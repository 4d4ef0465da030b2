"""Numbers about relations, run by run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dbtorch.adapters.store import rows
from dbtorch.adapters.store.database import Database, Row, Transaction
from dbtorch.adapters.store.scope import Scope
from dbtorch.core.model.events import Changed
from dbtorch.core.model.measure import (
    LAST,
    ROW_COUNT,
    ROWS_AFFECTED,
    Measured,
    Rows,
    relation_of,
    rows_of,
)

_PUT = """
    INSERT INTO dbtorch_measurements
        (run_id, node_id, measure, project, target, measured_at, number, detail)
    VALUES (:run_id, :node_id, :measure, :project, :target, :at, :number, :detail)
    ON CONFLICT (run_id, node_id, measure) DO UPDATE SET
        measured_at = excluded.measured_at, number = excluded.number, detail = excluded.detail
"""

_SERIES = """
    SELECT m.run_id, m.measured_at, m.number, m.detail FROM dbtorch_measurements m
    WHERE m.project = :series_project AND m.target = :series_target AND m.node_id = :node_id
        AND m.measure = :measure AND m.run_id <> :but
        AND NOT EXISTS (
            SELECT 1 FROM dbtorch_run_nodes n
            WHERE n.run_id = m.run_id AND n.node_id = :settled AND n.state = 'failed'
        )
    ORDER BY m.measured_at DESC LIMIT :last
"""

_BEFORE = """
    (SELECT b.number FROM dbtorch_measurements b
     WHERE b.project = m.project AND b.target = m.target AND b.node_id = m.node_id
        AND b.measure = m.measure AND b.measured_at < m.measured_at
     ORDER BY b.measured_at DESC LIMIT 1 OFFSET {place}) AS before_{place}
"""

_ROWS = f"""
    SELECT m.node_id, m.measure, m.number,
        (SELECT n.materialized FROM dbtorch_run_nodes n
         WHERE n.run_id = m.run_id AND n.node_id = m.node_id) AS materialized,
        {", ".join(_BEFORE.format(place=place) for place in range(LAST))}
    FROM dbtorch_measurements m
    WHERE m.run_id = :run_id AND m.measure IN ('{ROWS_AFFECTED}', '{ROW_COUNT}')
        AND (:node_id = '' OR m.node_id = :node_id)
"""


def put(transaction: Transaction, run_id: str, series: Row, changes: Sequence[Changed]) -> None:
    """Write what attempts measured that have just ended; the last one of a run counts."""
    transaction.many(
        _PUT,
        [
            {
                "run_id": run_id,
                "node_id": relation_of(change.node_id),
                "measure": rows.clean(measure.name),
                "project": series["project"],
                "target": series["target"],
                "at": rows.moment(change.at),
                "number": measure.number,
                "detail": rows.dumped(measure.detail),
            }
            for change in changes
            if change.outcome is not None
            for measure in change.outcome.measures
        ],
    )


class SqlMeasurements:
    """Implements a part of `Store` over SQLite and Postgres alike."""

    _database: Database
    _scope: Scope

    def measured(
        self,
        target: str,
        node_id: str,
        measure: str,
        *,
        last: int,
        but: str = "",
        settled: str = "",
    ) -> list[Measured]:
        """What the last runs measured, the newest first."""
        values: dict[str, Any] = {
            "node_id": node_id,
            "measure": measure,
            "last": last,
            "but": but,
            "settled": settled,
        }

        def read(transaction: Transaction) -> list[Measured]:
            series = self._scope.series(transaction, target)
            return [_measured(row) for row in transaction.all(_SERIES, {**values, **series})]

        return self._database.read(read)

    def rows(self, run_id: str, node_id: str = "") -> dict[str, Rows]:
        """Rows of each relation in a run, and what was usual until then."""
        values = {"run_id": run_id, "node_id": node_id}
        return self._database.read(lambda transaction: _rows(transaction.all(_ROWS, values)))


@rows.table("dbtorch_measurements")
def _measured(row: Row) -> Measured:
    return Measured(
        run_id=row["run_id"],
        measured_at=datetime.fromisoformat(row["measured_at"]),
        number=row["number"],
        detail=json.loads(row["detail"]),
    )


def _rows(found: Sequence[Row]) -> dict[str, Rows]:
    told: dict[str, Rows] = {}
    with rows.reading("dbtorch_measurements"):
        # what a run wrote says more than what there is, so it comes last and stays
        for row in sorted(found, key=lambda row: row["measure"] == ROWS_AFFECTED):
            before = [row[f"before_{place}"] for place in range(LAST)]
            materialized = row["materialized"] or ""
            told[row["node_id"]] = rows_of(
                row["measure"], row["number"], before, materialized=materialized
            )
    return told
