"""Run history in a SQL database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from dbtorch.adapters.store import actions, leases, rows, statements
from dbtorch.adapters.store.beginning import begin_run
from dbtorch.adapters.store.changes import write_changes
from dbtorch.adapters.store.database import Database, Row, Transaction
from dbtorch.adapters.store.measurements import SqlMeasurements
from dbtorch.adapters.store.outbox import SqlOutbox
from dbtorch.core.events import Changed
from dbtorch.core.graph import Node
from dbtorch.core.history import Action, AttemptRecord, Lease, RunRecord, RunSummary
from dbtorch.core.state import RunState, State
from dbtorch.ports import StoreError

if TYPE_CHECKING:
    from dbtorch.core.standing import Standing

T = TypeVar("T")


class SqlStore(SqlMeasurements, SqlOutbox):
    """Implements `Store` over SQLite and Postgres alike."""

    def __init__(self, database: Database) -> None:
        """The database is migrated already."""
        self._database = database

    # ---------------------------------------------------------------- writing

    def begin(
        self,
        run: RunRecord,
        nodes: Sequence[Node],
        changes: Sequence[Changed] = (),
        *,
        lease: Lease | None = None,
    ) -> None:
        """Write a run and its nodes, all pending; one that goes on is as ``changes`` leave it."""
        self._write(lambda transaction: begin_run(transaction, run, nodes, changes), lease)

    def record(
        self, run_id: str, changes: Sequence[Changed], *, lease: Lease | None = None
    ) -> None:
        """Write changes, and what they say about nodes and attempts, in one commit."""
        if changes:
            self._write(lambda transaction: write_changes(transaction, run_id, changes), lease)

    def end(
        self, run_id: str, state: RunState, at: datetime, *, lease: Lease | None = None
    ) -> None:
        """Write how a run ended."""
        values = {"run_id": run_id, "state": state.value, "at": rows.moment(at)}
        if self._write(lambda transaction: transaction.run(statements.END_RUN, values), lease) == 0:
            raise StoreError(f"there is no run {run_id} to end in {self._database.driver.name}")
        self._database.settle()

    def _write(self, work: Callable[[Transaction], T], lease: Lease | None) -> T:
        """Commit what ``work`` writes, unless somebody else has taken the lease over."""

        def fenced(transaction: Transaction) -> T:
            if lease is not None:
                leases.fence(transaction, lease, self._database.driver.lock_rows)
            return work(transaction)

        return self._database.write(fenced)

    # ---------------------------------------------------------------- actions

    def act(self, run_id: str, action: Action) -> int:
        """Append an action; answers its ordinal. Raises `StoreError` for an unknown run."""
        return self._database.write(lambda transaction: actions.act(transaction, run_id, action))

    def handled(self, run_id: str, ordinal: int, at: datetime) -> None:
        """Write when an action took effect; the first time counts."""
        values = {"run_id": run_id, "ordinal": ordinal, "at": rows.moment(at)}
        self._database.write(lambda transaction: transaction.run(statements.HANDLE_ACTION, values))

    def actions(self, run_id: str, *, after: int = 0) -> list[Action]:
        """Actions of a run with an ordinal greater than ``after``, in order."""
        return self._database.read(lambda transaction: actions.actions(transaction, run_id, after))

    # ---------------------------------------------------------------- reading

    def run(self, run_id: str, *, transitions: bool = True) -> RunRecord | None:
        """One run with its nodes in plan order, attempts and transitions; None for none."""
        return self._database.read(lambda transaction: _run(transaction, run_id, transitions))

    def runs(
        self, *, limit: int = 20, pipeline: str | None = None, state: RunState | None = None
    ) -> list[RunSummary]:
        """The newest runs first."""
        query = statements.summaries(pipeline=pipeline is not None, state=state is not None)
        values: dict[str, Any] = {"limit": limit}
        if pipeline is not None:
            values["pipeline"] = pipeline
        if state is not None:
            values["state"] = state.value
        found = self._database.read(lambda transaction: transaction.all(query, values))
        return _summaries(found)

    def find(self, prefix: str) -> list[str]:
        """Ids of runs that start with this, newest first; "latest" is the newest run."""
        if prefix == "latest":
            query, values = statements.NEWEST_RUN, {}
        else:
            query = statements.RUNS_BY_PREFIX
            values = {"prefix": prefix, "length": len(prefix)}
        found = self._database.read(lambda transaction: transaction.all(query, values))
        return [row["run_id"] for row in found]

    def attempts(self, run_id: str, node_id: str) -> list[AttemptRecord]:
        """Attempts of a node, in order."""
        values = {"run_id": run_id, "node_id": node_id}
        found = self._database.read(
            lambda transaction: transaction.all(statements.GET_NODE_ATTEMPTS, values)
        )
        return [rows.attempt_record(row) for row in found]

    def durations(
        self, project: str, target: str, *, last: int = 10
    ) -> dict[str, tuple[float, ...]]:
        """Seconds of each node's last successes on this target, the newest first."""
        concatenate = self._database.driver.concatenate
        query = statements.intervals(last, concatenate=concatenate)
        values = {"project": project, "target": target}
        found = self._database.read(lambda transaction: transaction.all(query, values))
        return {row["node_id"]: tuple(_seconds(row["found"])) for row in found}

    def standing(self, project: str, target: str = "") -> Standing:
        """How a project stands on a target; on that of its newest run when none is named."""
        from dbtorch.adapters.store.standings import standing  # of no use to a run

        return self._database.read(lambda transaction: standing(transaction, project, target))

    # ---------------------------------------------------------------- leases

    def acquire(self, lease: Lease, *, now: datetime) -> None:
        """Take a lease that is free, expired, or held by a dead process. Raises `LeaseHeld`."""
        self._database.write(lambda transaction: leases.acquire(transaction, lease, now))

    def renew(self, lease: Lease, *, now: datetime) -> bool:
        """Prolong a lease; False when somebody else has it by now."""
        return self._database.write(lambda transaction: leases.renew(transaction, lease, now))

    def release(self, lease: Lease) -> None:
        """Give a lease back; silent when it is somebody else's."""
        self._database.write(lambda transaction: leases.release(transaction, lease))

    def holder(self, name: str) -> Lease | None:
        """Who has a lease, expired or not."""
        return self._database.read(lambda transaction: leases.holder(transaction, name))

    def close(self) -> None:
        """Close the connection; closing twice changes nothing."""
        self._database.close()


def _run(transaction: Transaction, run_id: str, transitions: bool) -> RunRecord | None:
    id = {"run_id": run_id}
    found = transaction.one(statements.GET_RUN, id)
    if found is None:
        return None
    attempts: defaultdict[str, list[AttemptRecord]] = defaultdict(list)
    for row in transaction.all(statements.GET_ATTEMPTS, id):
        attempts[row["node_id"]].append(rows.attempt_record(row))
    nodes = [
        rows.node_record(row, attempts[row["node_id"]])
        for row in transaction.all(statements.GET_NODES, id)
    ]
    moves = transaction.all(statements.GET_TRANSITIONS, id) if transitions else ()
    acts = actions.actions(transaction, run_id, 0)
    return rows.run_record(found, nodes, map(rows.transition, moves), acts)


def _summaries(found: Sequence[Row]) -> list[RunSummary]:
    """One line a run from one row a run and state."""
    counts: defaultdict[str, dict[State, int]] = defaultdict(dict)
    first: dict[str, Row] = {}
    for row in found:
        first.setdefault(row["run_id"], row)
        if row["node_state"] is not None:
            counts[row["run_id"]][State(row["node_state"])] = row["nodes"]
    return [rows.summary(row, counts[run_id]) for run_id, row in first.items()]


def _seconds(intervals: str) -> Iterator[float]:
    for interval in intervals.split():
        start, end = map(datetime.fromisoformat, interval.split("/"))
        yield (end - start).total_seconds()
