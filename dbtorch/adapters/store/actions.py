"""What people ask of runs and do to them, in a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbtorch.adapters.store import rows, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import Action


def act(transaction: Transaction, of: Mapping[str, Any], action: Action) -> int:
    """Append an action; answers its ordinal. Raises `StoreError` for an unknown run.

    ``of`` says which run, and whose.
    """
    run_id = of["run_id"]
    values = rows.action_values(run_id, action)
    while True:
        last = transaction.one(statements.LAST_ACTION, of)
        if last is None:
            raise StoreError(f"there is no run {run_id} to {action.action}")
        ordinal = (last["ordinal"] or 0) + 1
        if transaction.run(statements.ADD_ACTION, {**values, "ordinal": ordinal}) == 1:
            return int(ordinal)


def actions(transaction: Transaction, run_id: str, after: int) -> list[Action]:
    """Actions of a run after an ordinal, in order."""
    values = {"run_id": run_id, "after": after}
    return [rows.action(row) for row in transaction.all(statements.GET_ACTIONS, values)]
