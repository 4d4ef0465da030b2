"""Leases in a database: who may drive a pipeline, by the clock of the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dbtorch.adapters.processes.liveness import is_gone
from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.errors import LeaseHeld, LeaseLost
from dbtorch.core.history.records import Lease


def acquire(transaction: Transaction, lease: Lease, formerly: str) -> tuple[Lease, Lease | None]:
    """Take a lease that is free, over, or held by a dead process; answers who had it, too.

    ``formerly`` is what a dbtorch of before calls it. Raises `LeaseHeld`.
    """
    now = transaction.now()
    before = holder(transaction, formerly)
    if before is not None and not before.process and before.expires_at > now:
        raise LeaseHeld(before)
    taken = replace(lease, acquired_at=now, expires_at=now + lease.lifetime)
    wanted = rows.lease_values(taken)
    while transaction.run(statements.ADD_LEASE, wanted) == 0:
        held = holder(transaction, lease.name)
        if held is None:
            continue  # given back this very moment
        if not _is_same(held, lease) and is_held(held, now):
            raise LeaseHeld(held)
        known = {f"held_{key}": value for key, value in rows.lease_values(held).items()}
        if transaction.run(statements.REPLACE_LEASE, {**wanted, **known}) == 1:
            return taken, held
    return taken, None


def holder(transaction: Transaction, name: str) -> Lease | None:
    """Who has a lease, over or not."""
    row = transaction.one(statements.GET_LEASE, {"name": name})
    return None if row is None else rows.lease(row)


def driver(transaction: Transaction, run_id: str) -> Lease | None:
    """Who drives a run at this moment."""
    now = transaction.now()
    found = map(rows.lease, transaction.all(statements.LEASES_OF_RUN, {"run_id": run_id}))
    return next((lease for lease in found if is_held(lease, now)), None)


def renew(transaction: Transaction, lease: Lease) -> bool:
    """Prolong a lease; False when somebody else has it by now."""
    values = rows.lease_values(lease)
    values["expires_at"] = rows.moment(transaction.now() + lease.lifetime)
    return transaction.run(statements.RENEW_LEASE, values) == 1


def fence(transaction: Transaction, lease: Lease, lock: str) -> None:
    """Let nobody take a lease over before this transaction ends. Raises `LeaseLost`.

    ``lock`` is what a query needs at its end so that the rows it finds stay as they are.
    """
    if transaction.one(f"{statements.IS_HELD} {lock}", rows.lease_values(lease)) is None:
        raise LeaseLost(lease, holder(transaction, lease.name))


def release(transaction: Transaction, lease: Lease) -> None:
    """Delete a lease that is still one's own."""
    transaction.run(statements.DROP_LEASE, rows.lease_values(lease))


def is_held(lease: Lease, now: datetime) -> bool:
    """Whether a lease is not over, and its holder not known to be gone."""
    return lease.expires_at > now and not is_gone(lease.process, lease.pid)


def _is_same(held: Lease, lease: Lease) -> bool:
    """Whether the very process that asks has it, for the same run."""
    mine = (lease.run_id, lease.host, lease.pid, lease.process)
    return (held.run_id, held.host, held.pid, held.process) == mine
