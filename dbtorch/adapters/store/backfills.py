"""Backfills in a database, each part of which is started once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dbtorch.adapters.store import rows
from dbtorch.adapters.store.database import Row, Transaction
from dbtorch.core.errors import TickLost
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
from dbtorch.core.schedule.ledger import ScheduleKey

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

_TOUCH = """
    UPDATE dbtorch_backfills SET version = version + 1
    WHERE EXISTS (
        SELECT 1 FROM dbtorch_backfill_parts p
        WHERE p.{by} = :{by} AND p.project_id = dbtorch_backfills.project_id
            AND p.backfill_id = dbtorch_backfills.backfill_id
    )
"""

# A run that was planned again begins twice.
_START = """
    UPDATE dbtorch_backfill_parts SET state = 'started', run_id = :run_id, started_at = :at
    WHERE project_id = :project_id AND token = :token
        AND (state = 'claimed' OR (state = 'started' AND run_id = :run_id))
"""

# A run that its driver has ended, as it was told to end itself, is gone on with.
_END = """
    UPDATE dbtorch_backfill_parts SET state = :part, ended_at = :at
    WHERE run_id = :run_id AND (
        state = 'started' OR (state = 'waiting' AND :part <> 'cancelled')
    )
"""


def add(transaction: Transaction, mine: Mapping[str, Any], backfill: Backfill) -> Backfill | None:
    """Keep a new one with all its parts; answers the one that its pipeline has already."""
    of = {**mine, "backfill_id": backfill.id}
    values = {
        **of,
        "place": backfill.key.place,
        "pipeline": backfill.key.pipeline,
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
    """Write parts, and another state, unless somebody else came first."""
    of = {**mine, "backfill_id": backfill.id}
    state = state or backfill.state
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


def start_part(transaction: Transaction, mine: dict[str, Any], token: str, run_id: str) -> None:
    """Let a part be started by the run that begins. Raises `TickLost`."""
    values = {**mine, "token": token, "run_id": run_id, "at": rows.moment(transaction.now())}
    transaction.run(_TOUCH.format(by="token"), values)
    if transaction.run(_START, values) == 0:
        raise TickLost


def end_part(transaction: Transaction, run_id: str, state: RunState, at: datetime) -> None:
    """Let the part of a run that ends be over, if it has one."""
    part = part_after(state)
    values = {"run_id": run_id, "part": part.value, "at": rows.moment(at)}
    if transaction.run(_TOUCH.format(by="run_id"), values):
        transaction.run(_END, values)


def part_after(state: RunState) -> PartState:
    """What a part is whose run has ended so."""
    known = {RunState.SUCCESS: PartState.DONE, RunState.CANCELLED: PartState.CANCELLED}
    return known.get(state, PartState.FAILED)


@rows.table("dbtorch_backfills")
def _backfill(row: Row, parts: tuple[Part, ...], counts: Mapping[PartState, int]) -> Backfill:
    return Backfill(
        id=row["backfill_id"],
        key=ScheduleKey(row["pipeline"], row["place"]),
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
        run_id=row["run_id"],
        token=row["token"],
        server=row["server"],
        claims=row["claims"],
        claimed_at=rows.maybe(row["claimed_at"]),
        started_at=rows.maybe(row["started_at"]),
        ended_at=rows.maybe(row["ended_at"]),
        note=row["note"],
    )


def _part_values(part: Part) -> dict[str, Any]:
    return {
        "ordinal": part.ordinal,
        "partition_key": part.key,
        "begins_at": rows.moment(part.interval.start),
        "ends_at": rows.moment(part.interval.end),
        "state": part.state.value,
        "run_id": part.run_id,
        "token": part.token,
        "server": part.server,
        "claims": part.claims,
        "claimed_at": rows.moment(part.claimed_at),
        "started_at": rows.moment(part.started_at),
        "ended_at": rows.moment(part.ended_at),
        "note": rows.clean(part.note),
    }
