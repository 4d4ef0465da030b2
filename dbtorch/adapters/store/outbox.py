"""Messages that wait to be told, and failures that last, in a database."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.processes.liveness import is_gone, this_process
from dbtorch.adapters.store.database import Database, Row, Transaction
from dbtorch.adapters.store.rows import clean, dumped, moment, table
from dbtorch.adapters.store.scope import Scope
from dbtorch.core.model.state import FailureClass

if TYPE_CHECKING:  # a run that alerts nobody has no use for these
    from dbtorch.core.alerts.incidents import Incident
    from dbtorch.core.alerts.outbox import Delivery, Entry

_NAME = (
    "notifier = :notifier AND address = :address AND message_key = :key"
    " AND project_id = :project_id"
)

# A note is said once; a card that says something else is a new version of the same message.
_PUT = """
    INSERT INTO dbtorch_outbox
        (notifier, address, message_key, ordinal, kind, run_id, thread, body, created_at,
         updated_at, project_id)
    VALUES (:notifier, :address, :key, :ordinal, :kind, :run_id, :thread, :body, :at, :at,
        :project_id)
    ON CONFLICT (notifier, address, message_key) DO UPDATE SET
        body = excluded.body, version = dbtorch_outbox.version + 1,
        updated_at = excluded.updated_at
    WHERE dbtorch_outbox.kind = 'card' AND dbtorch_outbox.body <> excluded.body
        AND dbtorch_outbox.project_id = excluded.project_id
"""

# What is in a thread waits for the message that begins it.
_DUE = """
    SELECT o.* FROM dbtorch_outbox o
    WHERE o.notifier = :notifier AND o.project_id = :project_id
        AND o.sent_version < o.version AND o.updated_at >= :since
        AND (o.next_try_at IS NULL OR o.next_try_at <= :due)
        AND (o.claimed_until IS NULL OR o.claimed_until <= :now)
        AND (o.thread = '' OR NOT EXISTS (
            SELECT 1 FROM dbtorch_outbox t
            WHERE t.notifier = o.notifier AND t.address = o.address AND t.project_id = o.project_id
                AND t.message_key = o.thread AND t.sent_version = 0
        ))
    ORDER BY o.created_at, o.ordinal LIMIT 1
"""

# Who was claiming it before is gone, and nobody knows whether it arrived.
_CLAIM = f"""
    UPDATE dbtorch_outbox SET
        unsure = CASE WHEN claimed_until IS NULL THEN unsure ELSE 1 END,
        claimed_until = :until, claimed_by = :claimant
    WHERE {_NAME} AND sent_version < version
        AND (claimed_until IS NULL OR claimed_until <= :now)
"""

_DELIVERED = f"""
    UPDATE dbtorch_outbox SET sent_version = :version, sent_at = :at, receipt = :receipt,
        tries = 0, next_try_at = NULL, error = '', unsure = 0, claimed_until = NULL
    WHERE {_NAME}
"""

_NOT_DELIVERED = f"""
    UPDATE dbtorch_outbox SET tries = tries + 1, next_try_at = :next_try_at, error = :error,
        unsure = :unsure, claimed_until = NULL
    WHERE {_NAME}
"""

_HURRY = """
    UPDATE dbtorch_outbox SET next_try_at = NULL
    WHERE sent_version < version AND project_id = :project_id
"""

_CLAIMANTS = """
    SELECT DISTINCT claimed_by FROM dbtorch_outbox
    WHERE notifier = :notifier AND project_id = :project_id AND sent_version < version
        AND claimed_until > :now
"""

_FREE = """
    UPDATE dbtorch_outbox SET claimed_until = :now
    WHERE claimed_by = :claimant AND claimed_until > :now
"""

_GET = f"SELECT * FROM dbtorch_outbox WHERE {_NAME}"

_PUT_INCIDENT = """
    INSERT INTO dbtorch_incidents
        (project, target, pipeline, node_id, failure_class, opened_run, opened_at, last_run,
         in_a_row, told_at, closed_at)
    VALUES (:project, :target, :pipeline, :node_id, :failure_class, :opened_run, :opened_at,
        :last_run, :in_a_row, :told_at, :closed_at)
    ON CONFLICT (project, target, pipeline, node_id) DO UPDATE SET
        failure_class = excluded.failure_class, opened_run = excluded.opened_run,
        opened_at = excluded.opened_at, last_run = excluded.last_run,
        in_a_row = excluded.in_a_row, told_at = excluded.told_at, closed_at = excluded.closed_at
"""

_OPEN_INCIDENTS = """
    SELECT * FROM dbtorch_incidents
    WHERE project = :series_project AND target = :series_target AND pipeline = :pipeline
        AND closed_at IS NULL
    ORDER BY opened_at, node_id
"""


class SqlOutbox:
    """Implements `Outbox` over SQLite and Postgres alike."""

    _database: Database
    _scope: Scope

    def alert(
        self, entries: Sequence[Entry], incidents: Sequence[Incident] = (), *, at: datetime
    ) -> None:
        """Keep messages to be sent, and what is known of failures, in one commit."""

        def put(transaction: Transaction) -> None:
            for ordinal, entry in enumerate(entries):
                values = _entry_values(entry, ordinal, at)
                transaction.run(_PUT, {**values, **self._scope.mine})
            for incident in incidents:
                series = self._scope.series(transaction, incident.target)
                named = {
                    "project": series["series_project"],
                    "target": series["series_target"],
                }
                transaction.run(_PUT_INCIDENT, {**_incident_values(incident), **named})

        self._database.write(put)

    def incidents(self, target: str, pipeline: str) -> list[Incident]:
        """Failures of a pipeline that go on."""
        project = self._scope.identity.name

        def read(transaction: Transaction) -> list[Incident]:
            series = self._scope.series(transaction, target)
            found = transaction.all(_OPEN_INCIDENTS, {**series, "pipeline": pipeline})
            return [_incident(row, project, target) for row in found]

        return self._database.read(read)

    def outbox(self, *, run_id: str | None = None, pending: bool = False) -> list[Delivery]:
        """Messages in the order they were written."""
        wanted = ["project_id = :project_id", *["run_id = :run_id"] * (run_id is not None)]
        wanted += ["sent_version < version"] * pending
        where = "WHERE " + " AND ".join(wanted)
        query = f"SELECT * FROM dbtorch_outbox {where} ORDER BY created_at, ordinal"
        values = {**self._scope.mine, "run_id": run_id}
        return self._database.read(
            lambda transaction: [_delivery(row) for row in transaction.all(query, values)]
        )

    def message(self, notifier: str, address: str, key: str) -> Delivery | None:
        """One message; None when there is none."""
        name = {**self._scope.mine, "notifier": notifier, "address": address, "key": key}

        def read(transaction: Transaction) -> Delivery | None:
            row = transaction.one(_GET, name)
            return None if row is None else _delivery(row)

        return self._database.read(read)

    def claim(
        self, notifier: str, *, now: datetime, until: datetime, due: datetime, since: datetime
    ) -> Delivery | None:
        """The next message to send, which nobody else will send until then; None for none."""
        asked = {**self._scope.mine, "notifier": notifier}
        asked |= {"now": moment(now), "due": moment(due)}
        asked["since"] = moment(since)
        self._free_what_the_dead_hold(notifier, now)
        while True:
            found = self._database.read(_first, asked)
            if found is None:
                return None
            values = {**self._name(found.entry), "now": moment(now), "until": moment(until)}
            values["claimant"] = f"{os.getpid()}@{this_process()}"
            if self._run(_CLAIM, values) == 1:
                unsure = found.unsure or found.claimed_until is not None
                return replace(found, unsure=unsure, claimed_until=until)

    def _free_what_the_dead_hold(self, notifier: str, now: datetime) -> None:
        asked = {**self._scope.mine, "notifier": notifier, "now": moment(now)}
        found = self._database.read(Transaction.all, _CLAIMANTS, asked)
        for claimant in (row["claimed_by"] for row in found):
            if _is_gone(claimant):
                values = {"claimant": claimant, "now": moment(now)}
                self._run(_FREE, values)

    def hurry(self) -> None:
        """Let everything that waits for its next try be due at once."""
        self._run(_HURRY, self._scope.mine)

    def _run(self, statement: str, values: Mapping[str, Any]) -> int:
        """Rows that a statement has changed, in a transaction of its own."""
        return self._database.write(Transaction.run, statement, values)

    def delivered(self, delivery: Delivery, receipt: Mapping[str, Any], at: datetime) -> None:
        """Write that a version was sent, and where it is."""
        values = {"version": delivery.version, "at": moment(at), "receipt": dumped(receipt)}
        values |= self._name(delivery.entry)
        self._database.write(Transaction.run, _DELIVERED, values)

    def not_delivered(
        self, delivery: Delivery, error: str, next_try_at: datetime, *, unsure: bool = False
    ) -> None:
        """Write why it was not sent, and when to try again."""
        values = {"error": clean(error), "next_try_at": moment(next_try_at), "unsure": int(unsure)}
        values |= self._name(delivery.entry)
        self._database.write(Transaction.run, _NOT_DELIVERED, values)

    def _name(self, entry: Entry) -> dict[str, Any]:
        return {**self._scope.mine, **_name(entry)}


def _first(transaction: Transaction, asked: Mapping[str, Any]) -> Delivery | None:
    row = transaction.one(_DUE, asked)
    return None if row is None else _delivery(row)


def _is_gone(claimant: str) -> bool:
    """Whether ``pid@process`` is known to be no more; nothing is known about other machines."""
    pid, _, process = claimant.partition("@")
    return pid.isdecimal() and is_gone(process, int(pid))


def _name(entry: Entry) -> dict[str, Any]:
    return {"notifier": entry.notifier, "address": entry.address, "key": entry.key}


def _entry_values(entry: Entry, ordinal: int, at: datetime) -> dict[str, Any]:
    return {
        **_name(entry),
        "ordinal": ordinal,
        "kind": entry.kind.value,
        "run_id": entry.run_id,
        "thread": entry.thread,
        "body": dumped(entry.body),
        "at": moment(at),
    }


@table("dbtorch_outbox")
def _delivery(row: Row) -> Delivery:
    from dbtorch.core.alerts.outbox import Delivery, Entry, EntryKind

    return Delivery(
        entry=Entry(
            key=row["message_key"],
            notifier=row["notifier"],
            address=row["address"],
            kind=EntryKind(row["kind"]),
            run_id=row["run_id"],
            thread=row["thread"],
            body=json.loads(row["body"]),
        ),
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
        version=row["version"],
        sent_version=row["sent_version"],
        sent_at=_maybe(row["sent_at"]),
        receipt=json.loads(row["receipt"]),
        tries=row["tries"],
        next_try_at=_maybe(row["next_try_at"]),
        error=row["error"],
        unsure=bool(row["unsure"]),
        claimed_until=_maybe(row["claimed_until"]),
    )


def _incident_values(incident: Incident) -> dict[str, Any]:
    return {
        "pipeline": incident.pipeline,
        "node_id": incident.node_id,
        "failure_class": incident.failure_class.value if incident.failure_class else None,
        "opened_run": incident.opened_run,
        "opened_at": moment(incident.opened_at),
        "last_run": incident.last_run,
        "in_a_row": incident.in_a_row,
        "told_at": moment(incident.told_at),
        "closed_at": moment(incident.closed_at),
    }


@table("dbtorch_incidents")
def _incident(row: Row, project: str, target: str) -> Incident:
    from dbtorch.core.alerts.incidents import Incident

    failure_class = row["failure_class"]
    return Incident(
        project=project,
        target=target,
        pipeline=row["pipeline"],
        node_id=row["node_id"],
        failure_class=None if failure_class is None else FailureClass(failure_class),
        opened_run=row["opened_run"],
        opened_at=datetime.fromisoformat(row["opened_at"]),
        last_run=row["last_run"],
        in_a_row=row["in_a_row"],
        told_at=datetime.fromisoformat(row["told_at"]),
        closed_at=_maybe(row["closed_at"]),
    )


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
