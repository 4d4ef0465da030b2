"""Attempts that workers of other machines execute, in a database: claimed once, by its clock."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.store import leases, rows
from dbtorch.adapters.store.database import Database, Row, Transaction
from dbtorch.adapters.store.scope import Scope

if TYPE_CHECKING:  # most projects have no workers
    from dbtorch.core.history.records import Lease
    from dbtorch.core.model.events import Outcome
    from dbtorch.core.model.offer import Offer, QueueDepth, Standing

_ADD = """
    INSERT INTO dbtorch_offers (token, project_id, run_id, node_id, number, queue, code, told,
        lease, lease_acquired_at, state, offered_at)
    VALUES (:token, :project_id, :run_id, :node_id, :number, :queue, :code, :told,
        :lease, :lease_acquired_at, 'offered', :now)
    ON CONFLICT (token) DO NOTHING
"""

_BY = "project_id = :project_id AND lease = :lease AND lease_acquired_at = :lease_acquired_at"

_OF_SUPERVISOR = f"SELECT * FROM dbtorch_offers WHERE {_BY} ORDER BY offered_at, token"

_LOSE = f"""
    UPDATE dbtorch_offers SET state = 'lost'
    WHERE {_BY} AND state = 'claimed' AND expires_at <= :now
"""

# Row by row in one order, or two that do so wait for each other.
_WITHDRAW = """
    UPDATE dbtorch_offers SET state = 'withdrawn' WHERE token = :token AND state = 'offered'
"""

_CALL_OFF = "UPDATE dbtorch_offers SET called_off = 1 WHERE token = :token AND state = 'claimed'"

_OTHERS = """
    SELECT * FROM dbtorch_offers
    WHERE project_id = :project_id AND NOT (lease = :lease AND lease_acquired_at = :acquired_at)
    ORDER BY token
"""

_DROP = "DELETE FROM dbtorch_offers WHERE token = :token AND state <> 'claimed'"

_DROP_LATE = "DELETE FROM dbtorch_offers WHERE token = :token AND expires_at <= :now"

_SAID = """
    SELECT number, said FROM dbtorch_offer_logs
    WHERE token = :token AND number > :after ORDER BY number
"""

_GET = "SELECT * FROM dbtorch_offers WHERE token = :token AND project_id = :project_id"

_CLAIM = """
    UPDATE dbtorch_offers SET state = 'claimed', worker = :worker, expires_at = :until
    WHERE token = :token AND project_id = :project_id AND state = 'offered'
"""

_MINE = "token = :token AND state = 'claimed' AND worker = :worker"

_KEEP = f"UPDATE dbtorch_offers SET expires_at = :until WHERE {_MINE}"

_BEGAN = f"UPDATE dbtorch_offers SET started_at = :now WHERE {_MINE} AND started_at IS NULL"

_SAY = f"""
    INSERT INTO dbtorch_offer_logs (token, number, said)
    SELECT token, :number, :said FROM dbtorch_offers WHERE {_MINE}
    ON CONFLICT (token, number) DO NOTHING
"""

_REPORT = f"UPDATE dbtorch_offers SET state = 'ended', outcome = :outcome WHERE {_MINE}"

_DEPTHS = """
    SELECT queue, state, count(*) AS found FROM dbtorch_offers o
    WHERE project_id = :project_id AND state IN ('offered', 'claimed') AND EXISTS (
        SELECT 1 FROM dbtorch_leases l
        WHERE l.name = o.lease AND l.acquired_at = o.lease_acquired_at AND l.expires_at > :now
    ) GROUP BY queue, state
"""


class SqlOffers:
    """Implements `Offers`."""

    _database: Database
    _scope: Scope

    # ---------------------------------------------------------------- of a supervisor

    def offer(self, offer: Offer, lease: Lease) -> None:
        """Let workers claim an attempt as long as the lease holds; twice is once."""
        values = {
            **self._scope.mine,
            **_by(lease),
            "token": offer.token,
            "run_id": offer.run_id,
            "node_id": offer.attempt.node_id,
            "number": offer.attempt.number,
            "queue": offer.queue,
            "code": offer.code,
            "told": rows.dumped(offer.told),
        }
        lock = self._database.driver.lock_rows

        def write(transaction: Transaction) -> None:
            leases.fence(transaction, lease, lock)
            transaction.run(_ADD, {**values, "now": rows.moment(transaction.now())})

        self._database.write(write)

    def offers(self, lease: Lease) -> list[Offer]:
        """Those of this supervisor; one whose worker was not heard of in time is lost by now."""
        mine = {**self._scope.mine, **_by(lease)}
        found, late = self._database.read(_look, mine)
        if late:
            found = self._database.write(_lose, mine)
        return [_offer(row) for row in found]

    def call_off(self, tokens: Collection[str]) -> None:
        """Withdraw what nobody has claimed, and let workers hear that the rest is to end."""
        if tokens:
            self._database.write(_call_off, tokens)

    def orphans(self, lease: Lease, runs: Collection[str]) -> list[Offer]:
        """Call off what supervisors have left that are gone; answers what workers still have."""
        of = {
            **self._scope.mine,
            "lease": lease.name,
            "acquired_at": rows.moment(lease.acquired_at),
        }
        if not self._database.read(_others, of):
            return []
        return [_offer(row) for row in self._database.write(_orphans, of, frozenset(runs))]

    def settle(self, tokens: Collection[str]) -> None:
        """Forget offers that nobody has any more, with what was said."""
        if tokens:
            self._database.write(Transaction.many, _DROP, [{"token": one} for one in tokens])

    def said(self, token: str, *, after: int) -> list[tuple[int, str]]:
        """Pieces of the log of an attempt with a number greater than ``after``, in order."""
        found = self._database.read(Transaction.all, _SAID, {"token": token, "after": after})
        return [(int(row["number"]), str(row["said"])) for row in found]

    # ---------------------------------------------------------------- of a worker

    def claim_offer(self, token: str, worker: str, lifetime: timedelta) -> Offer | None:
        """Take an attempt for so long; None where there is nothing to claim."""
        of = {**self._scope.mine, "token": token, "worker": worker}
        row = self._database.write(_claim, of, lifetime)
        return None if row is None else _offer(row)

    def attend(self, token: str, worker: str, lifetime: timedelta) -> Standing:
        """Keep an attempt for so long from now; answers whether it is to go on."""
        of = {**self._scope.mine, "token": token, "worker": worker}
        return self._database.write(_attend, of, lifetime)

    def began(self, token: str, worker: str) -> None:
        """Write that the process of an attempt is there."""
        self._database.write(_at, _BEGAN, {"token": token, "worker": worker})

    def say(self, token: str, worker: str, number: int, text: str) -> None:
        """Add a piece to the log of an attempt; numbers begin at 1, and twice is once."""
        values = {"token": token, "worker": worker, "number": number, "said": rows.clean(text)}
        self._database.write(Transaction.run, _SAY, values)

    def report(self, token: str, worker: str, outcome: Outcome) -> bool:
        """Write what came of an attempt; False where it is not this worker's any more."""
        values = {"token": token, "worker": worker, "outcome": _outcome_text(outcome)}
        return self._database.write(Transaction.run, _REPORT, values) == 1

    def queue_depths(self) -> Mapping[str, QueueDepth]:
        """What waits, and what workers have, by queue."""
        from dbtorch.core.model.offer import QueueDepth

        found: dict[str, dict[str, int]] = {}
        for row in self._database.read(_depths, self._scope.mine):
            found.setdefault(row["queue"], {})[row["state"]] = int(row["found"])
        return {
            queue: QueueDepth(waiting=of.get("offered", 0), claimed=of.get("claimed", 0))
            for queue, of in found.items()
        }


def _depths(transaction: Transaction, mine: Mapping[str, Any]) -> list[Row]:
    return transaction.all(_DEPTHS, {**mine, "now": rows.moment(transaction.now())})


def _by(lease: Lease) -> dict[str, Any]:
    return {"lease": lease.name, "lease_acquired_at": rows.moment(lease.acquired_at)}


def _look(transaction: Transaction, mine: Mapping[str, Any]) -> tuple[list[Row], bool]:
    """What there is, and whether a worker is late."""
    found = transaction.all(_OF_SUPERVISOR, mine)
    held = [row["expires_at"] for row in found if row["state"] == "claimed"]
    return found, bool(held) and min(held) <= str(rows.moment(transaction.now()))


def _lose(transaction: Transaction, mine: Mapping[str, Any]) -> list[Row]:
    transaction.run(_LOSE, {**mine, "now": rows.moment(transaction.now())})
    return transaction.all(_OF_SUPERVISOR, mine)


def _call_off(transaction: Transaction, tokens: Collection[str]) -> None:
    for token in sorted(tokens):
        if transaction.run(_WITHDRAW, {"token": token}) == 0:
            transaction.run(_CALL_OFF, {"token": token})


def _others(transaction: Transaction, of: Mapping[str, Any]) -> list[Row]:
    return transaction.all(_OTHERS, of)


def _orphans(transaction: Transaction, of: Mapping[str, Any], runs: Collection[str]) -> list[Row]:
    now = transaction.now()
    gone = [
        row["token"]
        for row in _others(transaction, of)
        if row["run_id"] in runs or not _is_driven(transaction, row)
    ]
    _call_off(transaction, gone)
    for token in gone:
        transaction.run(_DROP, {"token": token})
        transaction.run(_DROP_LATE, {"token": token, "now": rows.moment(now)})
    return [row for row in _others(transaction, of) if row["token"] in gone]


def _is_driven(transaction: Transaction, row: Row) -> bool:
    """Whether the supervisor that has offered something may still be at work."""
    lease = leases.holder(transaction, row["lease"])
    if lease is None or rows.moment(lease.acquired_at) != row["lease_acquired_at"]:
        return False
    return lease.run_id == row["run_id"] and leases.is_held(lease, transaction.now())


def _claim(transaction: Transaction, of: Mapping[str, Any], lifetime: timedelta) -> Row | None:
    """Whoever takes the supervisor's lease over meanwhile finds it claimed, or withdraws it."""
    row = transaction.one(_GET, of)
    if row is None or not _is_driven(transaction, row):
        return None
    until = rows.moment(transaction.now() + lifetime)
    if transaction.run(_CLAIM, {**of, "until": until}) == 0:
        return None
    return transaction.one(_GET, of)


def _attend(transaction: Transaction, of: Mapping[str, Any], lifetime: timedelta) -> Standing:
    from dbtorch.core.model.offer import Standing

    until = rows.moment(transaction.now() + lifetime)
    if transaction.run(_KEEP, {**of, "until": until}) == 0:
        return Standing.TAKEN
    row = transaction.one(_GET, of)
    if row is None or row["called_off"] or not _is_driven(transaction, row):
        return Standing.CALLED_OFF
    return Standing.GOES_ON


def _at(transaction: Transaction, statement: str, values: Mapping[str, Any]) -> None:
    transaction.run(statement, {**values, "now": rows.moment(transaction.now())})


@rows.table("dbtorch_offers")
def _offer(row: Row) -> Offer:
    from dbtorch.core.model.events import Attempt
    from dbtorch.core.model.offer import Offer, OfferState

    return Offer(
        token=row["token"],
        run_id=row["run_id"],
        attempt=Attempt(row["node_id"], row["number"]),
        queue=row["queue"],
        code=row["code"],
        told=json.loads(row["told"]),
        state=OfferState(row["state"]),
        worker=row["worker"],
        offered_at=rows.time(row["offered_at"]),
        started_at=rows.maybe(row["started_at"]),
        outcome=None if row["outcome"] is None else _outcome(json.loads(row["outcome"])),
    )


#: What a worker says of an attempt; the rest is not a step's to say.
_WORDS = ("message", "retry_after", "output", "details", "lost")


def _outcome_text(outcome: Outcome) -> str:
    said = {name: getattr(outcome, name) for name in _WORDS}
    kind = outcome.failure_class
    return rows.dumped({**said, "state": outcome.state.value, "failure_class": kind and kind.value})


def _outcome(said: Mapping[str, Any]) -> Outcome:
    """What a worker has said; a state or class that nobody knows is refused."""
    from dbtorch.core.model.events import Outcome
    from dbtorch.core.model.state import FailureClass, State

    kind = said["failure_class"]
    return Outcome(
        state=State(said["state"]),
        failure_class=None if kind is None else FailureClass(kind),
        **{name: said[name] for name in _WORDS},
    )
