"""What a project sees of a history that others share."""

from __future__ import annotations

import json
from typing import Any

from dbtorch.adapters.store import statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.core.model.identity import Identity

#: What is kept under project and target, to be found without looking at runs.
_SERIES = ("dbtorch_attempts", "dbtorch_measurements", "dbtorch_incidents")


class Scope:
    """An identity as parameters of statements."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.targets = len(identity.places)
        self.mine: dict[str, Any] = {
            "project_id": identity.project_id,
            "project_name": identity.name,
        }
        self.here = dict(self.mine)
        for number, (target, place) in enumerate(identity.places.items()):
            self.here |= {f"target_{number}": target, f"place_{number}": place}

    def there(self, target: str) -> dict[str, Any]:
        """Parameters for what is of one target."""
        return {**self.mine, "target": target, "place": self.identity.place(target)}

    def seen(self, transaction: Transaction, query: str) -> str:
        """A query for runs of the project, as short as it may be while none is of before."""
        old = transaction.one(statements.IS_ANY_OF_BEFORE, self.mine) is not None
        return query if old else statements.of_now(query)

    def series(self, transaction: Transaction, target: str) -> dict[str, Any]:
        """Parameters for what is kept of one target, under its names until it is taken over."""
        there = self.there(target)
        old = transaction.one(statements.IS_OF_BEFORE, there) is not None
        found = (self.identity.name, target) if old else (there["project_id"], there["place"])
        return {**there, "series_project": found[0], "series_target": found[1]}


def adopt(transaction: Transaction, scope: Scope, target: str, take_time: str | None) -> None:
    """Take over what was written of this project and target before there were ids.

    ``take_time`` is a statement for what may take long.
    """
    if take_time is not None:
        transaction.run(take_time)
    there = scope.there(target)
    if transaction.run(statements.ADOPT_RUNS, there) == 0:
        return
    transaction.run(statements.DROP_TOLD_TWICE, there)
    for table in _SERIES:
        transaction.run(statements.adopt(table), there)
    if not scope.identity.project_id:
        return
    transaction.run(statements.ADOPT_MESSAGES, there)
    for row in transaction.all(statements.MESSAGES_WITHOUT_A_RUN):
        if _project_of(row["body"]) == scope.identity.name:
            name = {key: row[key] for key in ("notifier", "address", "message_key")}
            transaction.run(statements.ADOPT_MESSAGE, {**there, **name})


def _project_of(body: str) -> str | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    alert = said.get("alert") if isinstance(said, dict) else None
    project = alert.get("project") if isinstance(alert, dict) else None
    return project if isinstance(project, str) else None
