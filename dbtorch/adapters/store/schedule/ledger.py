"""Ticks of schedules in a database, each started once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dbtorch.adapters.store import leases, rows
from dbtorch.adapters.store.database import Database, Row, Transaction
from dbtorch.adapters.store.schedule.claims import (
    OF_PIPELINE,
    Claimed,
    claim,
    claim_values,
    key_of,
    key_values,
)
from dbtorch.adapters.store.scope import Scope
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.cause import Cause, cause_of
from dbtorch.core.schedule.ledger import (
    MOST_WAITING,
    Happened,
    LedgerView,
    Pause,
    ScheduleChange,
    ScheduleKey,
    ScheduleRecord,
    SkipReason,
    TickRecord,
    TickState,
)

TICKS = Claimed(
    table="dbtorch_ticks",
    owners="dbtorch_schedules",
    of=("project_id", "place", "pipeline"),
    waits="queued",
    claimed="queued",
)

_TICK_COLUMNS = (
    "project_id", "place", "pipeline", "scheduled_for", "interval_start", "interval_end", "due_at",
    "backlog", "state", "reason", "note", "run_id", "token", "server", "claims", "claimed_at",
    "started_at", "ended_at", "cause", "event_key",
)  # fmt: skip

_SCHEDULES = "SELECT * FROM dbtorch_schedules WHERE project_id = :project_id"

# Of thousands that wait only those are read that may be next, as each turn reads them.
_OPEN_TICKS = """
    SELECT * FROM (
        SELECT t.*, row_number() OVER (
            PARTITION BY place, pipeline, backlog ORDER BY scheduled_for
        ) AS place_in_queue, sum(CASE WHEN state = 'queued' THEN 1 ELSE 0 END) OVER () AS queued
        FROM dbtorch_ticks t WHERE project_id = :project_id AND state IN ('queued', 'started')
    ) o
    WHERE place_in_queue <= :most OR state = 'started' OR token <> '' OR run_id <> ''
    ORDER BY scheduled_for
"""

_LEASES = "SELECT * FROM dbtorch_leases"

_FIRST_DECISION = """
    INSERT INTO dbtorch_schedules (project_id, place, pipeline, version, watermark, checksum, seen)
    VALUES
        (:project_id, :place, :pipeline, 1, :watermark, :checksum, coalesce(:seen, ''))
    ON CONFLICT (project_id, place, pipeline) DO NOTHING
"""

_NEXT_DECISION = f"""
    UPDATE dbtorch_schedules
    SET version = version + 1, watermark = :watermark, checksum = :checksum,
        seen = coalesce(:seen, seen)
    WHERE {OF_PIPELINE} AND version = :version
"""

_PUT_TICK = f"""
    INSERT INTO dbtorch_ticks ({", ".join(_TICK_COLUMNS)})
    VALUES ({", ".join(f":{column}" for column in _TICK_COLUMNS)})
    ON CONFLICT (project_id, place, pipeline, scheduled_for) DO UPDATE SET
    {", ".join(f"{column} = excluded.{column}" for column in _TICK_COLUMNS[6:])}
"""

_ADD_TICK = f"""
    INSERT INTO dbtorch_ticks ({", ".join(_TICK_COLUMNS)})
    VALUES ({", ".join(f":{column}" for column in _TICK_COLUMNS)})
    ON CONFLICT DO NOTHING
"""

_TICK_OF_EVENT = f"SELECT * FROM dbtorch_ticks WHERE {OF_PIPELINE} AND event_key = :event_key"

# Whoever has looked at the pipeline before this looks again.
_NOTICE = """
    INSERT INTO dbtorch_schedules (project_id, place, pipeline, version)
    VALUES (:project_id, :place, :pipeline, 1)
    ON CONFLICT (project_id, place, pipeline) DO UPDATE SET version = dbtorch_schedules.version + 1
"""

_LAST_UPDATE = """
    SELECT run_id, finished_at, state FROM dbtorch_attempts
    WHERE project = :project_id AND target = :place AND node_id = :node_id
        AND state IN ('success', 'warn') AND started_at IS NOT NULL
    ORDER BY finished_at DESC LIMIT 1
"""


def _last_end(states: int) -> str:
    names = ", ".join(f":state_{place}" for place in range(states))
    return f"""
        SELECT run_id, finished_at, state FROM dbtorch_runs
        WHERE {OF_PIPELINE} AND partial = 0 AND run_type <> 'backfill'
            AND finished_at IS NOT NULL AND state IN ({names})
        ORDER BY finished_at DESC LIMIT 1
    """


_IS_PAUSED = f"SELECT * FROM dbtorch_schedules WHERE {OF_PIPELINE}"

_PAUSE = """
    INSERT INTO dbtorch_schedules
        (project_id, place, pipeline, version, paused_at, paused_by, paused_reason)
    VALUES (:project_id, :place, :pipeline, 1, :at, :by, :reason)
    ON CONFLICT (project_id, place, pipeline) DO UPDATE SET
        version = dbtorch_schedules.version + 1, paused_at = excluded.paused_at,
        paused_by = excluded.paused_by, paused_reason = excluded.paused_reason
"""

_OUTCOMES = """
    SELECT r.run_id, r.state FROM dbtorch_ticks t
    JOIN dbtorch_runs r ON r.run_id = t.run_id AND r.project_id = t.project_id
    WHERE t.project_id = :project_id AND t.scheduled_for >= :since
"""

_SKIPPED = """
    SELECT pipeline, reason, count(*) AS ticks FROM dbtorch_ticks
    WHERE project_id = :project_id AND state = 'skipped' GROUP BY pipeline, reason
"""

_MOST = 2**31


class SqlLedger:
    """Implements `Ledger` over SQLite and Postgres alike."""

    _database: Database
    _scope: Scope

    def ledger(self) -> LedgerView:
        """How all schedules stand, and who holds which lease."""
        return self._database.read(_view, self._scope.mine)

    def decide(self, changes: Sequence[ScheduleChange]) -> frozenset[ScheduleKey]:
        """Write what was decided; answers for which pipelines nobody else came first."""
        in_order = sorted(changes, key=lambda change: change.key)  # so that nobody waits in a ring
        mine = self._scope.mine

        def write(transaction: Transaction) -> frozenset[ScheduleKey]:
            done = [change for change in in_order if _is_first(transaction, mine, change)]
            values = [
                {**mine, **key_values(change.key), **_tick_values(tick)}
                for change in done
                for tick in change.ticks
            ]
            transaction.many(_PUT_TICK, values)
            return frozenset(change.key for change in done)

        return self._database.write(write)

    def trigger(self, key: ScheduleKey, tick: TickRecord) -> TickRecord | None:
        """Add a tick that no schedule makes, at the time of the database."""
        name = {**self._scope.mine, **key_values(key)}

        def write(transaction: Transaction) -> TickRecord | None:
            transaction.run(_NOTICE, name)  # and so nobody else adds one meanwhile
            event_key = tick.cause.key if tick.cause is not None else ""
            if event_key:
                there = transaction.one(_TICK_OF_EVENT, {**name, "event_key": event_key})
                if there is not None:
                    return _tick(there)
            at = now = transaction.now()
            while transaction.run(_ADD_TICK, {**name, **_tick_values(_timed(tick, at, now))}) == 0:
                at += timedelta(microseconds=1)
            return None

        return self._database.write(write)

    def last_end(self, key: ScheduleKey, states: Collection[str]) -> Happened | None:
        """The last end of a whole run of a pipeline in one of these states."""
        named = {f"state_{place}": state for place, state in enumerate(sorted(states))}
        values = {**self._scope.mine, **key_values(key), **named}
        return self._database.read(
            lambda transaction: _happened(transaction.one(_last_end(len(named)), values))
        )

    def last_update(self, place: str, node_id: str) -> Happened | None:
        """The last success of a node where a target builds, by a run of any pipeline."""
        values = {**self._scope.mine, "place": place, "node_id": node_id}
        return self._database.read(
            lambda transaction: _happened(transaction.one(_LAST_UPDATE, values))
        )

    def pause(self, key: ScheduleKey, pause: Pause | None) -> Pause | None:
        """Pause a pipeline, or resume it with None; answers the pause that there was."""
        name = {**self._scope.mine, **key_values(key)}
        values = {
            **name,
            "at": rows.moment(pause.at) if pause else None,
            "by": pause.by if pause else "",
            "reason": rows.clean(pause.reason) if pause else "",
        }

        def write(transaction: Transaction) -> Pause | None:
            found = transaction.one(_IS_PAUSED, name)
            transaction.run(_PAUSE, values)
            return _pause(found) if found is not None else None

        return self._database.write(write)

    def ticks(
        self, pipeline: str | None = None, *, limit: int = 20, since: datetime | None = None
    ) -> list[tuple[ScheduleKey, TickRecord]]:
        """Ticks with what became of them, the newest first."""
        values = {**self._scope.mine, "limit": min(limit, _MOST)}
        where = ["project_id = :project_id"]
        if pipeline is not None:
            where.append("pipeline = :pipeline")
            values["pipeline"] = pipeline
        if since is not None:
            where.append("scheduled_for >= :since")
            values["since"] = rows.moment(since)
        query = f"""
            SELECT * FROM dbtorch_ticks WHERE {" AND ".join(where)}
            ORDER BY scheduled_for DESC, pipeline, place LIMIT :limit
        """
        return self._database.read(
            lambda transaction: [
                (key_of(row), _tick(row)) for row in transaction.all(query, values)
            ]
        )

    def outcomes(self, *, since: datetime) -> dict[str, RunState]:
        """How the runs stand, by id, of ticks from a time on."""
        values = {**self._scope.mine, "since": rows.moment(since)}
        found = self._database.read(Transaction.all, _OUTCOMES, values)
        return dict(map(_outcome, found))

    def skipped(self) -> dict[tuple[str, str], int]:
        """How many ticks were skipped, by pipeline and reason."""
        found = self._database.read(Transaction.all, _SKIPPED, self._scope.mine)
        return {(row["pipeline"], row["reason"]): int(row["ticks"]) for row in found}


def end_tick(transaction: Transaction, run_id: str, state: RunState, at: datetime) -> None:
    """Let the tick of a run that ends be done, if it has one."""
    cancelled = state is RunState.CANCELLED
    TICKS.end(transaction, run_id, TickState.DONE, at, cancelled=cancelled)


def _view(transaction: Transaction, mine: dict[str, Any]) -> LedgerView:
    now = transaction.now()
    ticks: defaultdict[ScheduleKey, list[TickRecord]] = defaultdict(list)
    opened = transaction.all(_OPEN_TICKS, {**mine, "most": MOST_WAITING})
    for row in opened:
        ticks[key_of(row)].append(_tick(row))
    found = [_schedule(row, ticks) for row in transaction.all(_SCHEDULES, mine)]
    held = (rows.lease(row) for row in transaction.all(_LEASES))
    return LedgerView(
        now=now,
        schedules={schedule.key: schedule for schedule in found},
        leases={lease.name: lease for lease in held if leases.is_held(lease, now)},
        queued=int(opened[0]["queued"]) if opened else 0,
    )


def _is_first(transaction: Transaction, mine: dict[str, Any], change: ScheduleChange) -> bool:
    values = {
        **mine,
        **key_values(change.key),
        "version": change.version,
        "watermark": rows.moment(change.watermark),
        "checksum": change.checksum,
        "seen": change.seen,
    }
    return transaction.run(_NEXT_DECISION if change.version else _FIRST_DECISION, values) == 1


@rows.table("dbtorch_runs")
def _outcome(row: Row) -> tuple[str, RunState]:
    return row["run_id"], RunState(row["state"])


@rows.table("dbtorch_schedules")
def _schedule(row: Row, ticks: dict[ScheduleKey, list[TickRecord]]) -> ScheduleRecord:
    key = key_of(row)
    return ScheduleRecord(
        key=key,
        version=row["version"],
        watermark=rows.maybe(row["watermark"]),
        checksum=row["checksum"],
        seen=rows.of_newer(row, "seen", ""),
        pause=_pause(row),
        ticks=tuple(ticks.get(key, ())),
    )


def _pause(row: Row) -> Pause | None:
    at = rows.maybe(row["paused_at"])
    return Pause(at=at, by=row["paused_by"], reason=row["paused_reason"]) if at else None


@rows.table("dbtorch_ticks")
def _tick(row: Row) -> TickRecord:
    return TickRecord(
        scheduled_for=rows.time(row["scheduled_for"]),
        interval=Interval(rows.maybe(row["interval_start"]), rows.time(row["interval_end"])),
        due_at=rows.time(row["due_at"]),
        state=TickState(row["state"]),
        backlog=bool(row["backlog"]),
        cause=_cause(rows.of_newer(row, "cause", "")),
        reason=SkipReason(row["reason"]) if row["reason"] else None,
        **claim(row),
    )


def _tick_values(tick: TickRecord) -> dict[str, Any]:
    return {
        "scheduled_for": rows.moment(tick.scheduled_for),
        "interval_start": rows.moment(tick.interval.start),
        "interval_end": rows.moment(tick.interval.end),
        "due_at": rows.moment(tick.due_at),
        "backlog": int(tick.backlog),
        "reason": tick.reason.value if tick.reason else "",
        **claim_values(tick),
        "cause": rows.dumped(tick.cause.to_json()) if tick.cause else "",
        "event_key": tick.cause.key if tick.cause else "",
    }


def _cause(said: str) -> Cause | None:
    return cause_of(json.loads(said)) if said else None


def _timed(tick: TickRecord, at: datetime, now: datetime) -> TickRecord:
    """A tick of now; ``at`` is no other one's time."""
    ended = now if tick.ended_at is not None else None
    return replace(tick, scheduled_for=at, due_at=now, interval=Interval(None, at), ended_at=ended)


def _happened(row: Row | None) -> Happened | None:
    if row is None:
        return None
    return Happened(run_id=row["run_id"], at=rows.time(row["finished_at"]), state=row["state"])
