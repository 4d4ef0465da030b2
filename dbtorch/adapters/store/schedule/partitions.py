"""Which intervals of models, steps and pipelines are built, written where their nodes end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Row, Transaction
from dbtorch.core.model.events import Changed
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.coverage import Built, Entry
from dbtorch.core.schedule.written import built_by, built_by_run, pipeline_id

_PUT = """
    ON CONFLICT (project_id, place, node_id, begins_at, ends_at) DO UPDATE SET
        state = excluded.state, run_id = excluded.run_id, checksum = excluded.checksum,
        written_at = excluded.written_at
"""

_COLUMNS = "project_id, place, node_id, begins_at, ends_at, state, run_id, checksum, written_at"

# A model that tells of its batches is written of batch by batch.
_NODE = f"""
    INSERT INTO dbtorch_partitions ({_COLUMNS})
    SELECT :project_id, :place, n.node_id, :begins_at, :ends_at, :state, n.run_id, n.checksum, :at
    FROM dbtorch_run_nodes n
    WHERE n.run_id = :run_id AND n.node_id = :node_id AND n.kind IN ('model', 'snapshot', 'step')
        AND NOT EXISTS (
            SELECT 1 FROM dbtorch_microbatches m
            WHERE m.run_id = n.run_id AND m.node_id = n.node_id
        )
    {_PUT}
"""

_BATCH = f"""
    INSERT INTO dbtorch_partitions ({_COLUMNS})
    SELECT :project_id, :place, n.node_id, :begins_at, :ends_at, :state, n.run_id, n.checksum, :at
    FROM dbtorch_run_nodes n WHERE n.run_id = :run_id AND n.node_id = :node_id AND EXISTS (
        SELECT 1 FROM dbtorch_microbatches m
        WHERE m.run_id = n.run_id AND m.node_id = n.node_id
            AND m.begins_at = :begins_at AND m.ends_at = :ends_at
    )
    {_PUT}
"""

# Batches that an attempt has not come to.
_BATCHES_LEFT = """
    UPDATE dbtorch_partitions SET state = 'failed', written_at = :at
    WHERE run_id = :run_id AND node_id = :node_id AND state = 'running' AND EXISTS (
        SELECT 1 FROM dbtorch_microbatches m
        WHERE m.run_id = :run_id AND m.node_id = :node_id
    )
"""

# What was written of its whole interval before it has told of its batches.
_WHOLE = """
    DELETE FROM dbtorch_partitions
    WHERE project_id = :project_id AND place = :place AND node_id = :node_id
        AND begins_at = :whole_begins_at AND ends_at = :whole_ends_at
        AND run_id = :run_id AND state = 'running'
"""

# A table that is built from nothing has no other partitions any more.
_EMPTIED = """
    DELETE FROM dbtorch_partitions
    WHERE project_id = :project_id AND place = :place AND node_id = :node_id
        AND run_id <> :run_id AND EXISTS (
            SELECT 1 FROM dbtorch_run_nodes n
            WHERE n.run_id = :run_id AND n.node_id = :node_id AND n.kind = 'model'
                AND n.materialized = 'incremental'
        )
"""

_RUN = f"""
    INSERT INTO dbtorch_partitions ({_COLUMNS})
    VALUES (:project_id, :place, :node_id, :begins_at, :ends_at, :state, :run_id, '', :at)
    {_PUT}
"""

_BEGIN = f"""
    UPDATE dbtorch_runs SET partition_key = :partition WHERE run_id = :run_id AND {statements.MINE}
"""

_SERIES_OF_RUN = f"""
    SELECT pipeline, partial, data_interval_start, data_interval_end, project_id, place
    FROM dbtorch_runs WHERE run_id = :run_id AND partition_key <> '' AND partition_key <> '-'
        AND {statements.MINE}
"""

_ENTRIES = """
    SELECT node_id, begins_at, ends_at, state, run_id, checksum, written_at
    FROM dbtorch_partitions
    WHERE project_id = :project_id AND place = :place AND begins_at < :until AND ends_at > :since
"""


def entries(
    transaction: Transaction,
    of: Mapping[str, Any],
    nodes: Sequence[str],
    since: datetime,
    until: datetime,
) -> list[Entry]:
    """What was written of nodes, of intervals that touch a span of time; ``of`` says where."""
    values = {**of, "since": rows.moment(since), "until": rows.moment(until)}
    wanted, query = frozenset(nodes), _ENTRIES
    if len(wanted) == 1:
        query += " AND node_id = :node_id"
        values["node_id"] = next(iter(wanted))
    return [_entry(row) for row in transaction.all(query, values) if row["node_id"] in wanted]


def write_nodes(
    transaction: Transaction, run_id: str, series: Row, changes: Sequence[Changed]
) -> None:
    """Write what changes of nodes say of the interval that their run stands for."""
    of = {**_of(run_id, series), **_interval(series)}
    of_all, begun, left = list[dict[str, Any]](), list[dict[str, Any]](), list[dict[str, Any]]()
    for change in changes:
        built = built_by(change)
        if built is None:
            continue
        one = {**of, "node_id": change.node_id, "state": built.value, "at": rows.moment(change.at)}
        of_all.append(one)
        if built is not Built.DONE:
            (begun if built is Built.RUNNING else left).append(one)
    if series["partition_key"]:
        if _is_full_refresh(series):
            transaction.many(_EMPTIED, begun)
        transaction.many(_NODE, of_all)
    transaction.many(_BATCHES_LEFT, left)


def write_batches(
    transaction: Transaction,
    run_id: str,
    series: Row,
    planned: Sequence[Mapping[str, Any]],
    built: Sequence[Mapping[str, Any]],
) -> None:
    """Write which batches of microbatch models are about to be built, and which are."""
    of = {**_of(run_id, series), "at": rows.moment(transaction.now())}
    models = [{**of, "node_id": id} for id in sorted({one["node_id"] for one in planned})]
    if _is_full_refresh(series):
        transaction.many(_EMPTIED, models)
    whole = {f"whole_{name}": at for name, at in _interval(series).items()}
    transaction.many(_WHOLE, [{**one, **whole} for one in models])
    transaction.many(_BATCH, [{**of, **one, "state": Built.RUNNING.value} for one in planned])
    transaction.many(_BATCH, [{**of, **one, "state": Built.DONE.value} for one in built])


def begin_run(transaction: Transaction, of: Mapping[str, Any], partition: str) -> None:
    """Write which partition a run stands for that begins, and that it is about to be built."""
    transaction.run(_BEGIN, {**of, "partition": partition})
    write_run(transaction, of, RunState.RUNNING, transaction.now())


def write_run(
    transaction: Transaction, of: Mapping[str, Any], state: RunState, at: datetime
) -> None:
    """Write what a whole run of a partition has come to."""
    run = transaction.one(_SERIES_OF_RUN, of)
    if run is None or run["partial"]:
        return
    built = built_by_run(state)
    values = {
        **_interval(run),
        "project_id": run["project_id"],
        "place": run["place"],
        "node_id": pipeline_id(run["pipeline"]),
        "run_id": of["run_id"],
        "state": built.value,
        "at": rows.moment(at),
    }
    transaction.run(_RUN, values)


def _of(run_id: str, series: Row) -> dict[str, Any]:
    return {"run_id": run_id, "project_id": series["project"], "place": series["target"]}


def _interval(run: Row) -> dict[str, Any]:
    return {"begins_at": run["data_interval_start"], "ends_at": run["data_interval_end"]}


def _is_full_refresh(series: Row) -> bool:
    words = json.loads(series["dbt_args"]) if "refresh" in series["dbt_args"] else []
    return "--full-refresh" in words or "-f" in words


@rows.table("dbtorch_partitions")
def _entry(row: Row) -> Entry:
    return Entry(
        node_id=row["node_id"],
        interval=Interval(rows.maybe(row["begins_at"]), rows.time(row["ends_at"])),
        built=Built(row["state"]),
        run_id=row["run_id"],
        checksum=row["checksum"],
        at=rows.time(row["written_at"]),
    )
