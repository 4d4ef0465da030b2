"""A history in Postgres behind a pooler in transaction mode, such as pgbouncer.

It gives each transaction another connection: what a session knew is gone when a transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.store import open_store
from dbtorch.ports.store import Store
from tests.contract import test_store as runs
from tests.contract import test_store_leases as leases
from tests.contract import test_store_ledger as ledger
from tests.contract import test_store_outbox as outbox
from tests.stores import SHOP

pytestmark = pytest.mark.postgres


@pytest.fixture
def store(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store whose connections forget all that they were told between transactions."""
    psycopg = pytest.importorskip("psycopg")
    forgotten = []

    class Pooled(psycopg.Cursor):
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            found = super().execute(query, *args, **kwargs)
            if query == "COMMIT":
                forgotten.append(super().execute("DISCARD ALL"))
            return found

    made = psycopg.connect
    monkeypatch.setattr(psycopg, "connect", lambda **told: made(**told, cursor_factory=Pooled))
    opened = open_store(postgres_url, tmp_path, identity=SHOP)
    yield opened
    opened.close()
    assert forgotten  # or nothing was tried


@pytest.mark.parametrize(
    "holds",
    [
        runs.test_an_attempt_is_followed_from_queue_to_outcome,
        runs.test_a_run_that_goes_on_keeps_what_it_has_but_for_what_changes,
        leases.test_a_lease_is_prolonged_by_the_lifetime_it_was_taken_with,
        leases.test_a_lease_that_somebody_else_has_is_not_renewed,
        ledger.test_of_two_that_have_looked_at_the_same_one_decides,
        ledger.test_a_run_starts_its_tick_in_the_same_commit,
        outbox.test_a_message_is_claimed_by_one,
    ],
    ids=lambda test: test.__name__,
)
def test_what_every_store_promises_holds(store: Store, holds: Callable[[Store], None]) -> None:
    holds(store)
