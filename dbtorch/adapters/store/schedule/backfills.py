"""Backfills in a database, each part of which is started once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dbtorch.adapters.store import rows
from dbtorch.adapters.store.database import Row, Transaction
from dbtorch.adapters.store.schedule.claims import Claimed, claim, claim_values, key_of, key_values
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.backfill import (
    MOST_ACTIVE,
    Backfill,
    BackfillSpec,
    BackfillState,
    Part,
    PartState,
)

PARTS = Claimed(
    table="dbtorch_backfill_parts",
    owners="dbtorch_backfills",
    of=("project_id", "backfill_id"),
    waits="waiting",
    claimed="claimed",
)

_OF = "project_id = :project_id AND backfill_id = :backfill_id"

_PART_COLUMNS = (
    "project_id", "backfill_id", "ordinal", "partition_key", "begins_at", "ends_at", "state",
    "run_id", "token", "server", "claims", "claimed_at", "started_at", "ended_at", "note",
)  # fmt: skip

_ADD = """
    INSERT INTO dbtorch_backfills (
        project_id, backfill_id, place, pipeline, version, state, words, max_active, partitions,
        created_at, created_by, reason
    ) VALUES (
        :project_id, :backfill_id, :place, :pipeline, 1, :state, :words, :max_active, :partitions,
        :created_at, :created_by, :reason
    ) ON CONFLICT DO NOTHING
"""

_PUT_PART = f"""
    INSERT INTO dbtorch_backfill_parts ({", ".join(_PART_COLUMNS)})
    VALUES ({", ".join(f":{column}" for column in _PART_COLUMNS)})
    ON CONFLICT (project_id, backfill_id, ordinal) DO UPDATE SET
    {", ".join(f"{column} = excluded.{column}" for column in _PART_COLUMNS[6:])}
"""

_OPEN = """
    SELECT * FROM dbtorch_backfills WHERE project_id = :project_id AND ended_at IS NULL
    ORDER BY created_at, backfill_id
"""

_ALL = """
    SELECT * FROM dbtorch_backfills WHERE project_id = :project_id
    ORDER BY created_at, backfill_id
"""

_PARTS = f"SELECT * FROM dbtorch_backfill_parts WHERE {_OF} ORDER BY ordinal"

# What was begun goes on first.
_NEXT_PARTS = f"""
    SELECT * FROM dbtorch_backfill_parts WHERE {_OF} AND state IN ('claimed', 'started')
    UNION ALL
    SELECT * FROM (
        SELECT * FROM dbtorch_backfill_parts WHERE {_OF} AND state = 'waiting'
        ORDER BY CASE WHEN run_id = '' THEN 1 ELSE 0 END, ordinal LIMIT {MOST_ACTIVE}
    ) AS next_parts
"""

_COUNTS = f"""
    SELECT state, count(*) AS parts FROM dbtorch_backfill_parts WHERE {_OF} GROUP BY state
"""

_DECIDE = f"""
    UPDATE dbtorch_backfills SET version = version + 1, state = :state, ended_at = :ended_at
    WHERE {_OF} AND version = :version
"""

_OF_PIPELINE = "project_id = :project_id AND place = :place AND pipeline = :pipeline"

# Changes nothing: who looks whether another one goes on, and goes on then, is alone with them.
_HOLD = f"UPDATE dbtorch_backfills SET version = version WHERE {_OF_PIPELINE}"

_OTHER = f"""
    SELECT 1 FROM dbtorch_backfills
    WHERE {_OF_PIPELINE} AND ended_at IS NULL AND backfill_id <> :backfill_id
"""


def add(transaction: Transaction, mine: Mapping[str, Any], backfill: Backfill) -> Backfill | None:
    """Keep a new one with all its parts; answers the one that its pipeline has already."""
    of = {**mine, "backfill_id": backfill.id}
    values = {
        **of,
        **key_values(backfill.key),
        "state": backfill.state.value,
        "words": rows.dumped(backfill.spec.words),
        "max_active": backfill.spec.max_active,
        "partitions": backfill.spec.partitions,
        "created_at": rows.moment(backfill.created_at),
        "created_by": rows.clean(backfill.created_by),
        "reason": rows.clean(backfill.reason),
    }
    if transaction.run(_ADD, values) == 0:
        found = known(transaction, mine, over=False, parts=False)
        return next(one for one in found if one.key == backfill.key)
    transaction.many(_PUT_PART, [{**of, **_part_values(part)} for part in backfill.parts])
    return None


def known(
    transaction: Transaction, mine: Mapping[str, Any], *, over: bool, parts: bool
) -> list[Backfill]:
    """Those that are not over, the oldest first; with ``over`` the others, too."""
    found = transaction.all(_ALL if over else _OPEN, mine)
    return [_read(transaction, mine, row, parts=parts) for row in found]


def decide(
    transaction: Transaction,
    mine: Mapping[str, Any],
    backfill: Backfill,
    parts: Sequence[Part],
    state: BackfillState | None,
) -> bool:
    """Write parts, and another state, unless somebody else came first.

    One that is over goes on only where no other one of its pipeline does.
    """
    of = {**mine, "backfill_id": backfill.id}
    state = state or backfill.state
    if backfill.state.over and not state.over:
        others = {**of, **key_values(backfill.key)}
        transaction.run(_HOLD, others)
        if transaction.all(_OTHER, others):
            return False
    values = {
        **of,
        "version": backfill.version,
        "state": state.value,
        "ended_at": rows.moment(transaction.now()) if state.over else None,
    }
    if transaction.run(_DECIDE, values) == 0:
        return False
    transaction.many(_PUT_PART, [{**of, **_part_values(part)} for part in parts])
    return True


def _read(transaction: Transaction, mine: Mapping[str, Any], row: Row, *, parts: bool) -> Backfill:
    of = {**mine, "backfill_id": row["backfill_id"]}
    found = tuple(map(_part, transaction.all(_PARTS if parts else _NEXT_PARTS, of)))
    counts = transaction.all(_COUNTS, of)
    with rows.reading("dbtorch_backfill_parts"):
        numbers = {PartState(one["state"]): int(one["parts"]) for one in counts}
    return _backfill(row, found, numbers)


def end_part(transaction: Transaction, run_id: str, state: RunState, at: datetime) -> None:
    """Let the part of a run that ends be over, if it has one."""
    cancelled = state is RunState.CANCELLED
    PARTS.end(transaction, run_id, part_after(state), at, cancelled=cancelled)


def part_after(state: RunState) -> PartState:
    """What a part is whose run has ended so."""
    known = {RunState.SUCCESS: PartState.DONE, RunState.CANCELLED: PartState.CANCELLED}
    return known.get(state, PartState.FAILED)


@rows.table("dbtorch_backfills")
def _backfill(row: Row, parts: tuple[Part, ...], counts: Mapping[PartState, int]) -> Backfill:
    return Backfill(
        id=row["backfill_id"],
        key=key_of(row),
        spec=BackfillSpec(
            words=tuple(json.loads(row["words"])),
            max_active=row["max_active"],
            partitions=row["partitions"],
        ),
        created_at=rows.time(row["created_at"]),
        created_by=row["created_by"],
        reason=row["reason"],
        state=BackfillState(row["state"]),
        version=row["version"],
        ended_at=rows.maybe(row["ended_at"]),
        parts=parts,
        counts=counts,
    )


@rows.table("dbtorch_backfill_parts")
def _part(row: Row) -> Part:
    return Part(
        ordinal=row["ordinal"],
        key=row["partition_key"],
        interval=Interval(rows.time(row["begins_at"]), rows.time(row["ends_at"])),
        state=PartState(row["state"]),
        **claim(row),
    )


def _part_values(part: Part) -> dict[str, Any]:
    return {
        "ordinal": part.ordinal,
        "partition_key": part.key,
        "begins_at": rows.moment(part.interval.start),
        "ends_at": rows.moment(part.interval.end),
        **claim_values(part),
    }
