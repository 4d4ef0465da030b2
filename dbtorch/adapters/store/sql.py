"""Run history in a SQL database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from dbtorch.adapters.store import actions, leases, microbatches, rows, statements
from dbtorch.adapters.store.changes import begin_run, write_changes
from dbtorch.adapters.store.database import PATIENCE, Database, Row, Transaction
from dbtorch.adapters.store.measurements import SqlMeasurements
from dbtorch.adapters.store.offers import SqlOffers
from dbtorch.adapters.store.outbox import SqlOutbox
from dbtorch.adapters.store.retention import SqlRetention
from dbtorch.adapters.store.schedule.ledger import TICKS, SqlLedger, end_tick
from dbtorch.adapters.store.scope import Scope, adopt
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import (
    Action,
    AttemptRecord,
    Lease,
    NodeRecord,
    RunChanges,
    RunRecord,
    RunSummary,
)
from dbtorch.core.model.dbt_warnings import DbtWarning, warnings_json
from dbtorch.core.model.events import (
    Changed,
    Progress,
    Window,
)
from dbtorch.core.model.graph import Node
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState, State
from dbtorch.core.schedule.ledger import PART

if TYPE_CHECKING:
    from dbtorch.core.history.health import HealthFacts
    from dbtorch.core.history.trend import Sample
    from dbtorch.core.schedule.backfill import Backfill, BackfillState, Part
    from dbtorch.core.schedule.coverage import Entry

T = TypeVar("T")
P = ParamSpec("P")

#: Rows that anybody could want; no database counts further than 64 bits.
_MOST = 2**31


#: Whose history it is where there is one project only.
ANYBODY = Identity()


class SqlStore(SqlMeasurements, SqlOutbox, SqlLedger, SqlRetention, SqlOffers):
    """Implements `Store` over SQLite and Postgres alike."""

    def __init__(self, database: Database, identity: Identity = ANYBODY) -> None:
        """The database is migrated already; of others than this project nothing is seen."""
        self.identity = identity  # which project it is of
        self._database = database
        self._scope = Scope(identity)

    def apart(self, *, patience: float = PATIENCE) -> SqlStore:
        """The same for what must not wait for others that use it; closed with this one.

        ``patience`` is for how many seconds a database that is away is tried again.
        """
        return SqlStore(self._database.apart(patience=patience), self.identity)

    # ---------------------------------------------------------------- writing

    def begin(
        self,
        run: RunRecord,
        nodes: Sequence[Node],
        changes: Sequence[Changed] = (),
        *,
        anew: Collection[str] = (),
        lease: Lease | None = None,
        tick: str = "",
    ) -> None:
        """Write a run and its nodes, all pending; one that goes on is as ``changes`` leave it."""
        place = self._scope.identity.place(run.target)
        mine = replace(run, place=place)
        scope = self._scope.mine

        def begin(transaction: Transaction) -> None:
            begin_run(transaction, scope, mine, nodes, changes)
            if anew:
                microbatches.build_anew(transaction, run.run_id, anew)
            if mine.partition:
                from dbtorch.adapters.store.schedule import partitions

                of = {**scope, "run_id": run.run_id}
                partitions.begin_run(transaction, of, mine.partition)
            if tick.startswith(PART):
                from dbtorch.adapters.store.schedule import backfills

                backfills.PARTS.start(transaction, scope, tick, run.run_id)
            elif tick:  # last, so that schedulers wait for no more than the commit
                TICKS.start(transaction, scope, tick, run.run_id)

        self._write(lease, begin)

    def record(
        self, run_id: str, changes: Sequence[Changed], *, lease: Lease | None = None
    ) -> None:
        """Write changes, and what they say about nodes and attempts, in one commit."""
        of = {**self._scope.mine, "run_id": run_id}
        if changes:
            self._write(lease, write_changes, of, changes)

    def note(
        self, run_id: str, progress: Sequence[Progress], *, lease: Lease | None = None
    ) -> None:
        """Write what attempts are about to build, and have built, in one commit."""
        of = {**self._scope.mine, "run_id": run_id}
        self._write(lease, microbatches.note, of, progress)

    def end(
        self,
        run_id: str,
        state: RunState,
        at: datetime,
        *,
        lease: Lease | None = None,
        dbt_warnings: Sequence[DbtWarning] | None = None,
    ) -> None:
        """Write how a run ended, and what dbt warned of; None leaves that as it is."""
        values = {
            **self._scope.mine,
            "run_id": run_id,
            "state": state.value,
            "at": rows.moment(at),
            "dbt_warnings": None
            if dbt_warnings is None
            else rows.dumped(warnings_json(dbt_warnings)),
        }

        def write(transaction: Transaction) -> int:
            end_tick(transaction, run_id, state, at)
            _end_elsewhere(transaction, values, state, at)
            return transaction.run(statements.END_RUN, values)

        if self._write(lease, write) == 0:
            raise StoreError(f"there is no run {run_id} to end in {self._database.driver.name}")
        self._database.settle()

    def _write(
        self,
        lease: Lease | None,
        work: Callable[Concatenate[Transaction, P], T],
        *about: P.args,
        **more: P.kwargs,
    ) -> T:
        """Commit what ``work`` writes, unless somebody else has taken the lease over."""

        def fenced(transaction: Transaction) -> T:
            if lease is not None:
                leases.fence(transaction, lease, self._database.driver.lock_rows)
            return work(transaction, *about, **more)

        return self._database.write(fenced)

    # ---------------------------------------------------------------- actions

    def act(self, run_id: str, action: Action) -> int:
        """Append an action; answers its ordinal. Raises `StoreError` for an unknown run."""
        of = {**self._scope.mine, "run_id": run_id}
        return self._database.write(actions.act, of, action)

    def handled(self, run_id: str, ordinal: int, at: datetime) -> None:
        """Write when an action took effect; the first time counts."""
        values = {"run_id": run_id, "ordinal": ordinal, "at": rows.moment(at)}
        self._database.write(Transaction.run, statements.HANDLE_ACTION, values)

    def actions(self, run_id: str, *, after: int = 0) -> list[Action]:
        """Actions of a run with an ordinal greater than ``after``, in order."""
        return self._database.read(actions.actions, run_id, after)

    # ---------------------------------------------------------------- reading

    def run(self, run_id: str, *, transitions: bool = True) -> RunRecord | None:
        """One run with its nodes in plan order, attempts and transitions; None for none."""
        of = {**self._scope.mine, "run_id": run_id}
        return self._database.read(_run, of, transitions)

    def run_changes(self, run_id: str, *, after: int) -> RunChanges | None:
        """What has changed after the transition of that ordinal; None when there is no such run."""
        of = {**self._scope.mine, "run_id": run_id}
        return self._database.read(_run_changes, of, after)

    def runs(
        self,
        *,
        limit: int = 20,
        pipeline: str | None = None,
        state: RunState | None = None,
        counts: bool = True,
    ) -> list[RunSummary]:
        """The newest runs first; without ``counts`` of their nodes, which are most of the work."""
        query = statements.summaries(
            targets=self._scope.targets,
            pipeline=pipeline is not None,
            state=state is not None,
            counts=counts,
        )
        values: dict[str, Any] = {**self._scope.here, "limit": min(limit, _MOST)}
        if pipeline is not None:
            values["pipeline"] = pipeline
        if state is not None:
            values["state"] = state.value

        def read(transaction: Transaction) -> list[RunSummary]:
            return _summaries(transaction.all(self._scope.seen(transaction, query), values))

        return self._database.read(read)

    def find(self, prefix: str) -> list[str]:
        """Ids of runs that start with this, newest first; "latest" is the newest run."""
        if prefix == "latest":
            query, values = statements.newest("run_id", self._scope.targets), self._scope.here
        else:
            query = statements.RUNS_BY_PREFIX
            values = {**self._scope.mine, "prefix": prefix, "length": len(prefix)}
        found = self._database.read(Transaction.all, query, values)
        return [row["run_id"] for row in found]

    def microbatches(self, run_id: str) -> dict[str, dict[Window, bool]]:
        """The batches that a run has planned of each microbatch model, and which are built."""
        of = {**self._scope.mine, "run_id": run_id}
        return self._database.read(microbatches.microbatches, of)

    def attempts(self, run_id: str, node_id: str) -> list[AttemptRecord]:
        """Attempts of a node, in order."""
        values = {"run_id": run_id, "node_id": node_id}
        return self._database.read(
            lambda transaction: [
                rows.attempt_record(row)
                for row in transaction.all(statements.GET_NODE_ATTEMPTS, values)
            ]
        )

    def last_success_end(
        self, target: str, pipeline: str, *, before: datetime | None = None
    ) -> datetime | None:
        """Where the last interval ends of whole runs of a pipeline that succeeded on this target.

        With ``before`` those that end there or later do not count.
        """
        values = {
            **self._scope.there(target),
            "pipeline": pipeline,
            "before": rows.moment(before) or statements.END_OF_TIME,
        }

        def read(transaction: Transaction) -> datetime | None:
            found = transaction.one(statements.LAST_SUCCESS_END, values)
            with rows.reading("dbtorch_runs"):
                return datetime.fromisoformat(found["found"]) if found and found["found"] else None

        return self._database.read(read)

    def successful_intervals(self, target: str, pipeline: str) -> list[Interval]:
        """What whole runs stood for that succeeded, in the order in which they began."""
        values = {**self._scope.there(target), "pipeline": pipeline}
        return self._database.read(
            lambda transaction: [
                rows.interval(row)
                for row in transaction.all(statements.SUCCESSFUL_INTERVALS, values)
            ]
        )

    def durations(self, target: str, *, last: int = 10) -> dict[str, tuple[float, ...]]:
        """Seconds of each node's last successes on this target, the newest first."""
        concatenate = self._database.driver.concatenate
        query = statements.intervals(last, concatenate=concatenate)

        def read(transaction: Transaction) -> dict[str, tuple[float, ...]]:
            found = transaction.all(query, self._scope.series(transaction, target))
            with rows.reading("dbtorch_attempts"):
                return {row["node_id"]: tuple(_seconds(row["found"])) for row in found}

        return self._database.read(read)

    def samples(self, target: str, *, runs: int, node_id: str = "") -> list[Sample]:
        """What the newest runs on a target say of one node, or of all; the oldest first."""
        from dbtorch.adapters.store.standings import samples  # of no use to a run

        return self._database.read(samples, self._scope, target, runs, node_id)

    def standing(self, target: str = "") -> HealthFacts:
        """How the project stands on a target; on that of its newest run when none is named."""
        from dbtorch.adapters.store.standings import standing  # of no use to a run

        return self._database.read(standing, self._scope, target)

    def adopt(self, target: str) -> None:
        """Take over what was written of this project and target before there were ids."""
        if self._database.read(Transaction.all, statements.IS_OF_BEFORE, self._scope.there(target)):
            slow = self._database.driver.take_time
            self._database.write(adopt, self._scope, target, slow)

    # ---------------------------------------------------------------- partitions, backfills

    def entries(
        self, place: str, nodes: Sequence[str], *, since: datetime, until: datetime
    ) -> list[Entry]:
        """What was written of nodes, of intervals that touch a span of time."""
        from dbtorch.adapters.store.schedule import partitions

        of = {**self._scope.mine, "place": place}
        return self._database.read(partitions.entries, of, nodes, since, until)

    def add_backfill(self, backfill: Backfill) -> Backfill | None:
        """Keep a new one with all its parts; answers the one that its pipeline has already."""
        from dbtorch.adapters.store.schedule import backfills

        mine = self._scope.mine
        return self._database.write(backfills.add, mine, backfill)

    def backfills(self, *, over: bool = False, parts: bool = False) -> list[Backfill]:
        """Those that are not over, the oldest first; with ``over`` the others, too."""
        from dbtorch.adapters.store.schedule import backfills

        mine = self._scope.mine
        return self._database.read(backfills.known, mine, over=over, parts=parts)

    def decide_backfill(
        self, backfill: Backfill, parts: Sequence[Part], state: BackfillState | None = None
    ) -> bool:
        """Write parts, and another state, unless somebody else came first."""
        from dbtorch.adapters.store.schedule import backfills

        mine = self._scope.mine
        return self._database.write(backfills.decide, mine, backfill, parts, state)

    # ---------------------------------------------------------------- leases

    def acquire(self, lease: Lease, *, formerly: str = "") -> tuple[Lease, Lease | None]:
        """Take a lease that is free, over, or held by a dead process; answers who had it, too.

        Raises `LeaseHeld`.
        """
        return self._database.write(leases.acquire, lease, formerly)

    def renew(self, lease: Lease) -> bool:
        """Prolong a lease; False when somebody else has it by now."""
        return self._database.write(leases.renew, lease)

    def release(self, lease: Lease) -> None:
        """Give a lease back; silent when it is somebody else's."""
        self._database.write(leases.release, lease)

    def holder(self, name: str) -> Lease | None:
        """Who has a lease, over or not."""
        return self._database.read(leases.holder, name)

    def driver(self, run_id: str) -> Lease | None:
        """Who drives a run at this moment, as far as can be known."""
        return self._database.read(leases.driver, run_id)

    def close(self) -> None:
        """Close the connection; closing twice changes nothing."""
        self._database.close()


def _end_elsewhere(
    transaction: Transaction, of: Mapping[str, Any], state: RunState, at: datetime
) -> None:
    """Tell the ledger of partitions, and a backfill, of a run that ends, if it is of any."""
    found = transaction.one(statements.IS_OF, of)
    if found is not None and found["of_partition"]:
        from dbtorch.adapters.store.schedule import partitions

        partitions.write_run(transaction, of, state, at)
    if found is not None and found["of_backfill"]:
        from dbtorch.adapters.store.schedule import backfills

        backfills.end_part(transaction, of["run_id"], state, at)


def _run_changes(transaction: Transaction, id: Mapping[str, Any], after: int) -> RunChanges | None:
    found = transaction.one(statements.RUN_SEQUENCE, id)
    if found is None:
        return None
    nodes: list[NodeRecord] = []
    if found["sequence"] > after:
        since = {"run_id": id["run_id"], "after": after}
        nodes = _nodes(
            transaction.all(statements.CHANGED_NODES, since),
            transaction.all(statements.CHANGED_ATTEMPTS, since),
        )
    return rows.run_changes(found, nodes)


def _nodes(nodes: Sequence[Row], attempts: Sequence[Row]) -> list[NodeRecord]:
    of: defaultdict[str, list[AttemptRecord]] = defaultdict(list)
    for row in attempts:
        of[row["node_id"]].append(rows.attempt_record(row))
    return [rows.node_record(row, of[row["node_id"]]) for row in nodes]


def _run(transaction: Transaction, id: Mapping[str, Any], transitions: bool) -> RunRecord | None:
    found = transaction.one(statements.GET_RUN, id)
    if found is None:
        return None
    attempts = transaction.all(statements.GET_ATTEMPTS, id)
    nodes = _nodes(transaction.all(statements.GET_NODES, id), attempts)
    moves = transaction.all(statements.GET_TRANSITIONS, id) if transitions else ()
    acts = actions.actions(transaction, id["run_id"], 0)
    return rows.run_record(found, nodes, map(rows.transition, moves), acts)


def _summaries(found: Sequence[Row]) -> list[RunSummary]:
    """One line a run from one row a run and state."""
    counts: defaultdict[str, dict[State, int]] = defaultdict(dict)
    first: dict[str, Row] = {}
    for row in found:
        first.setdefault(row["run_id"], row)
        if row["node_state"] is not None:
            with rows.reading("dbtorch_run_nodes"):
                counts[row["run_id"]][State(row["node_state"])] = row["nodes"]
    return [rows.summary(row, counts[run_id]) for run_id, row in first.items()]


def _seconds(intervals: str) -> Iterator[float]:
    for interval in intervals.split():
        start, end = map(datetime.fromisoformat, interval.split("/"))
        yield (end - start).total_seconds()
