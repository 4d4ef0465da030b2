"""What ticks and parts of backfills have in common: a pipeline, and a claim that a run begins with.

Whoever has looked at the owner of such a row before a run begins or ends looks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbtorch.adapters.store import rows
from dbtorch.adapters.store.database import Row, Transaction
from dbtorch.core.errors import TickLost
from dbtorch.core.schedule.backfill import Part
from dbtorch.core.schedule.ledger import ScheduleKey, TickRecord

#: The row, or rows, of a pipeline.
OF_PIPELINE = "project_id = :project_id AND place = :place AND pipeline = :pipeline"


def key_of(row: Row) -> ScheduleKey:
    """The pipeline that a row is of."""
    return ScheduleKey(row["pipeline"], row["place"])


def key_values(key: ScheduleKey) -> dict[str, Any]:
    """Parameters that name a pipeline."""
    return {"pipeline": key.pipeline, "place": key.place}


def claim(row: Row) -> dict[str, Any]:
    """What a row says of its claim and its run, as fields of its record."""
    return {
        "note": row["note"],
        "run_id": row["run_id"],
        "token": row["token"],
        "server": row["server"],
        "claims": row["claims"],
        "claimed_at": rows.maybe(row["claimed_at"]),
        "started_at": rows.maybe(row["started_at"]),
        "ended_at": rows.maybe(row["ended_at"]),
    }


def claim_values(of: TickRecord | Part) -> dict[str, Any]:
    """The same as parameters."""
    return {
        "state": of.state.value,
        "note": rows.clean(of.note),
        "run_id": of.run_id,
        "token": of.token,
        "server": of.server,
        "claims": of.claims,
        "claimed_at": rows.moment(of.claimed_at),
        "started_at": rows.moment(of.started_at),
        "ended_at": rows.moment(of.ended_at),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A table of rows that runs begin with."""

    table: str
    owners: str  # the table whose versions say that something has changed
    of: tuple[str, ...]  # columns by which a row names its owner
    waits: str  # the state of what waits for a run
    claimed: str  # of what a run may begin with

    def start(
        self, transaction: Transaction, mine: Mapping[str, Any], token: str, run_id: str
    ) -> None:
        """Let what is claimed be started by the run that begins. Raises `TickLost`."""
        values = {**mine, "token": token, "run_id": run_id, "at": rows.moment(transaction.now())}
        transaction.run(self._touch("token"), values)
        # A run that was planned again begins twice.
        start = f"""
            UPDATE {self.table} SET state = 'started', run_id = :run_id, started_at = :at
            WHERE project_id = :project_id AND token = :token
                AND (state = '{self.claimed}' OR (state = 'started' AND run_id = :run_id))
        """
        if transaction.run(start, values) == 0:
            raise TickLost

    def end(
        self, transaction: Transaction, run_id: str, state: str, at: datetime, *, cancelled: bool
    ) -> None:
        """Let what a run was started for be over, if there is such a row."""
        values = {"run_id": run_id, "state": state, "at": rows.moment(at)}
        # What was given back is gone on with, unless its run has ended by itself meanwhile.
        states = "'started'" if cancelled else f"'started', '{self.waits}'"
        end = f"""
            UPDATE {self.table} SET state = :state, ended_at = :at
            WHERE run_id = :run_id AND state IN ({states})
        """
        if transaction.run(self._touch("run_id"), values):
            transaction.run(end, values)

    def _touch(self, by: str) -> str:
        joined = " AND ".join(f"c.{column} = {self.owners}.{column}" for column in self.of)
        return f"""
            UPDATE {self.owners} SET version = version + 1
            WHERE EXISTS (SELECT 1 FROM {self.table} c WHERE c.{by} = :{by} AND {joined})
        """
