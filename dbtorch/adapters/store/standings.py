"""How a project stands, and how its nodes do from run to run, read from the history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Row, Transaction
from dbtorch.adapters.store.scope import Scope
from dbtorch.adapters.store.statements import THERE
from dbtorch.core.history.health import HealthFacts, last_ends
from dbtorch.core.history.trend import Sample, Try
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import FailureClass, State


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


_SAMPLES = f"""
    SELECT r.run_id, r.pipeline, r.started_at AS run_started_at, r.git_commit, n.node_id, n.kind,
        n.name, n.path, n.materialized, n.owner, n.runbook, n.node_group, n.state AS node_state,
        a.state, a.started_at, a.finished_at, a.failure_class
    FROM (
        SELECT run_id, pipeline, started_at, git_commit FROM dbtorch_runs WHERE {THERE}
        ORDER BY started_at DESC, run_id DESC LIMIT :runs
    ) r
    JOIN dbtorch_run_nodes n ON n.run_id = r.run_id AND n.kind <> 'session' AND {{which}}
    LEFT JOIN dbtorch_attempts a ON a.run_id = n.run_id AND a.node_id = n.node_id
    ORDER BY r.started_at, r.run_id, n.ordinal, n.node_id, a.number
"""


def samples(
    transaction: Transaction, there: Mapping[str, Any], runs: int, node_id: str
) -> list[Sample]:
    """What the newest runs on a target say of one node, or of all; the oldest first."""
    which = "n.node_id = :node_id" if node_id else "n.node_id <> :node_id"
    found = transaction.all(
        _SAMPLES.format(which=which), {**there, "runs": runs, "node_id": node_id}
    )
    with rows.reading("dbtorch_run_nodes"):
        return [
            _sample(list(of))
            for _, of in groupby(found, lambda row: (row["run_id"], row["node_id"]))
        ]


def _sample(of: list[Row]) -> Sample:
    row = of[0]
    return Sample(
        run_id=row["run_id"],
        pipeline=row["pipeline"],
        started_at=datetime.fromisoformat(row["run_started_at"]),
        git_commit=row["git_commit"],
        node_id=row["node_id"],
        kind=Kind(row["kind"]),
        name=row["name"],
        path=row["path"],
        materialized=row["materialized"],
        owner=row["owner"],
        runbook=row["runbook"],
        group=row["node_group"],
        state=State(row["node_state"]),
        tries=tuple(_tries(of)),
    )


def _tries(of: Iterable[Row]) -> Iterable[Try]:
    for row in of:
        if row["state"] is None:
            continue  # there was no attempt
        seconds = None
        if row["started_at"] and row["finished_at"]:
            start, end = map(datetime.fromisoformat, (row["started_at"], row["finished_at"]))
            seconds = (end - start).total_seconds()
        failed = row["failure_class"]
        yield Try(State(row["state"]), seconds, FailureClass(failed) if failed else None)
