"""Writing a run that begins or goes on, and what changed in one turn of the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbtorch.adapters.store import measurements, rows, statements
from dbtorch.adapters.store.database import Row, Transaction
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import Node
from dbtorch.core.model.state import FailureClass, State

#: States of a model that leaves batches behind that are not built.
_LEAVES = (State.FAILED, State.CANCELLED)


def begin_run(
    transaction: Transaction,
    mine: Mapping[str, Any],
    run: RunRecord,
    nodes: Sequence[Node],
    changes: Sequence[Changed],
) -> None:
    """Write a run and its nodes; new ones are pending, known ones as ``changes`` leave them.

    ``mine`` says whose it is. Raises `StoreError` for the run of another project.
    """
    if transaction.run(statements.PUT_RUN, {**rows.run_values(run), **mine}) == 0:
        raise StoreError(f"run {run.run_id} is another project's; nothing was written")
    known = transaction.all(statements.NODE_IDS, {"run_id": run.run_id})
    places = [rows.node_values(run.run_id, place, node) for place, node in enumerate(nodes)]
    transaction.many(statements.PUT_NODE, places)
    gone = {row["node_id"] for row in known} - {node.id for node in nodes}
    moved = [{"run_id": run.run_id, "node_id": id, "places": len(nodes)} for id in sorted(gone)]
    transaction.many(statements.MOVE_NODE, moved)
    if changes:
        write_changes(transaction, {**mine, "run_id": run.run_id}, changes)


def write_changes(
    transaction: Transaction, of: Mapping[str, Any], changes: Sequence[Changed]
) -> None:
    """Write nodes, transitions and attempts. Raises `StoreError` for an unknown run.

    ``of`` says which run, and whose.
    """
    run_id = of["run_id"]
    series = transaction.one(statements.RUN_SERIES, of)
    if series is None:
        raise StoreError(f"there is no run {run_id} to record changes of")
    common = [_common(run_id, change) for change in changes]
    last = {values["node_id"]: values for values in common}  # of a node that changed more than once
    transaction.many(statements.CHANGE_NODE, list(last.values()))
    _write_transitions(transaction, run_id, common)
    _write_attempts(transaction, series, list(zip(changes, common, strict=True)))
    measurements.put(transaction, run_id, series, changes)
    if series["partition_key"] or any(change.state in _LEAVES for change in changes):
        from dbtorch.adapters.store.schedule import partitions  # few runs have any

        partitions.write_nodes(transaction, run_id, series, changes)


def _common(run_id: str, change: Changed) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "node_id": change.node_id,
        "attempt": change.attempt,
        "before": change.before.value,
        "state": change.state.value,
        "at": rows.moment(change.at),
        **rows.reason_values(change.reason),
        "retry_at": rows.moment(change.retry_at),
    }


def _write_transitions(
    transaction: Transaction, run_id: str, common: Sequence[dict[str, Any]]
) -> None:
    row = transaction.one(statements.LAST_TRANSITION, {"run_id": run_id})
    last = row["ordinal"] if row is not None else 0
    numbered = [{**values, "ordinal": last + place} for place, values in enumerate(common, 1)]
    transaction.many(statements.ADD_TRANSITION, numbered)


def _write_attempts(
    transaction: Transaction, series: Row, changes: Sequence[tuple[Changed, dict[str, Any]]]
) -> None:
    # An attempt opens, starts and closes in this order, also within one turn, so all that open
    # may be written first. One that is undone was opened in an earlier turn.
    of_run = {"project": series["project"], "target": series["target"]}
    undone = [common for change, common in changes if _undoes(change)]
    transaction.many(statements.UNDO_ATTEMPT, undone)
    opened = [
        {**common, **of_run, "started_at": common["at"] if _runs(change) else None}
        for change, common in changes
        if _opens(change)
    ]
    transaction.many(statements.OPEN_ATTEMPT, opened)
    started = [common for change, common in changes if _runs(change) and not _opens(change)]
    transaction.many(statements.START_ATTEMPT, started)
    closed = [{**common, **_result(change)} for change, common in changes if _closes(change)]
    transaction.many(statements.CLOSE_ATTEMPT, closed)


def _opens(change: Changed) -> bool:
    """Whether an attempt begins: handed out, or (hooks) first heard of when it runs or is done."""
    if change.state is State.QUEUED:
        return True
    return change.before is State.PENDING and (_runs(change) or change.outcome is not None)


def _undoes(change: Changed) -> bool:
    """Whether an attempt was none: handed out, and left out by dbt."""
    return change.before.active and change.state is State.PENDING


def _runs(change: Changed) -> bool:
    return change.state is State.RUNNING


def _closes(change: Changed) -> bool:
    """Whether an attempt ends; a node that waits or was never tried has none to end."""
    ends = change.state.final or change.state is State.UP_FOR_RETRY
    return ends and (change.outcome is not None or change.before.active)


def _result(change: Changed) -> dict[str, Any]:
    failed = change.state in (State.UP_FOR_RETRY, State.FAILED)
    state = State.FAILED if failed else change.state
    outcome = change.outcome
    if outcome is None:  # a hook whose session ended first: nobody knows what became of it
        unknown = FailureClass.UNKNOWN.value if failed else None
        return {
            "state": state.value,
            "failure_class": unknown,
            "message": rows.clean(str(change.reason)),
            "lost": 0,
            "rows_affected": None,
            "output": rows.dumped(None),
            "details": rows.dumped({}),
        }
    return {
        "state": state.value,
        "failure_class": outcome.failure_class.value if outcome.failure_class else None,
        "message": rows.clean(outcome.message),
        "lost": int(outcome.lost),
        "rows_affected": outcome.rows_affected,
        "output": rows.dumped(outcome.output),
        "details": rows.dumped(outcome.details),
    }
