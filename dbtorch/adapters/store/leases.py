"""Leases in a database: who may drive a pipeline."""

from __future__ import annotations

from datetime import datetime

from dbtorch.adapters.processes import lives
from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.history import Lease
from dbtorch.ports import LeaseHeld, LeaseLost


def acquire(transaction: Transaction, lease: Lease, now: datetime) -> None:
    """Take a lease that is free, expired, or held by a dead process. Raises `LeaseHeld`."""
    wanted = rows.lease_values(lease)
    while transaction.run(statements.ADD_LEASE, wanted) == 0:
        held = holder(transaction, lease.name)
        if held is None:
            continue  # given back this very moment
        if not _may_take(lease, held, now):
            raise LeaseHeld(held)
        before = {f"held_{key}": value for key, value in rows.lease_values(held).items()}
        del before["held_name"]
        if transaction.run(statements.REPLACE_LEASE, {**wanted, **before}) == 1:
            return


def holder(transaction: Transaction, name: str) -> Lease | None:
    """Who has a lease, expired or not."""
    row = transaction.one(statements.GET_LEASE, {"name": name})
    return None if row is None else rows.lease(row)


def renew(transaction: Transaction, lease: Lease, now: datetime) -> bool:
    """Prolong a lease; False when somebody else has it by now."""
    values = rows.lease_values(lease)
    values["expires_at"] = rows.moment(now + lease.lifetime)
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


def _may_take(lease: Lease, held: Lease, now: datetime) -> bool:
    mine = (held.run_id, held.host, held.pid) == (lease.run_id, lease.host, lease.pid)
    return mine or held.expires_at <= now or not lives(held.host, held.pid)
