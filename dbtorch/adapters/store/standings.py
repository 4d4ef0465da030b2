"""How a project stands, and how its nodes do from run to run, read from the history."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.adapters.store.scope import Scope
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


#: By their values: looking up is a good deal faster than making one.
_KINDS, _STATES = {one.value: one for one in Kind}, {one.value: one for one in State}

_COLUMNS = (
    "run_id", "pipeline", "run_started_at", "git_commit", "node_id", "kind", "name", "path",
    "materialized", "owner", "runbook", "node_group", "node_state", "state", "started_at",
    "finished_at", "failure_class",
)  # fmt: skip

_SAMPLES = """
    SELECT r.run_id, r.pipeline, r.started_at AS run_started_at, r.git_commit, n.node_id, n.kind,
        n.name, n.path, n.materialized, n.owner, n.runbook, n.node_group, n.state AS node_state,
        a.state, a.started_at, a.finished_at, a.failure_class
    FROM (
        SELECT run_id, pipeline, started_at, git_commit FROM dbtorch_runs
        WHERE {here} AND target = :target ORDER BY started_at DESC, run_id DESC LIMIT :runs
    ) r
    JOIN dbtorch_run_nodes n ON n.run_id = r.run_id AND n.kind <> 'session' AND {which}
    LEFT JOIN dbtorch_attempts a ON a.run_id = n.run_id AND a.node_id = n.node_id
    ORDER BY r.started_at, r.run_id, n.node_id, a.number
"""


def samples(
    transaction: Transaction, scope: Scope, target: str, runs: int, node_id: str
) -> list[Sample]:
    """What the newest runs on a target say of one node, or of all; the oldest first.

    Of runs as lists have them: who only reads may not know where the target builds.
    """
    which = "n.node_id = :node_id" if node_id else "n.node_id <> :node_id"
    query = _SAMPLES.format(here=statements.here(scope.targets), which=which)
    values = {**scope.here, "target": target, "runs": runs, "node_id": node_id}
    pick = itemgetter(*_COLUMNS)  # there are many rows
    found = map(pick, transaction.all(scope.seen(transaction, query), values))
    with rows.reading("dbtorch_run_nodes"):
        return [_sample(list(of)) for _, of in groupby(found, itemgetter(0, 4))]


def _sample(of: list[tuple[Any, ...]]) -> Sample:
    run, pipeline, at, commit, id, kind, name, path, how, owner, runbook, group, state = of[0][:13]
    return Sample(
        run_id=run,
        pipeline=pipeline,
        started_at=datetime.fromisoformat(at),
        git_commit=commit,
        node_id=id,
        kind=_KINDS[kind],
        name=name,
        path=path,
        materialized=how,
        owner=owner,
        runbook=runbook,
        group=group,
        state=_STATES[state],
        tries=tuple(_try(*row[13:]) for row in of if row[13] is not None),
    )


def _try(state: str, started: str | None, finished: str | None, failed: str | None) -> Try:
    seconds = None
    if started and finished:
        start, end = datetime.fromisoformat(started), datetime.fromisoformat(finished)
        seconds = (end - start).total_seconds()
    return Try(_STATES[state], seconds, FailureClass(failed) if failed else None)
