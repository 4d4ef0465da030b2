"""What the end of a run needs is imported once dbt has set out, and once."""

import threading
from datetime import UTC, datetime

import pytest

from dbtorch.cli import preparing
from dbtorch.core.events import Changed
from dbtorch.core.plan import SESSION_OPEN
from dbtorch.core.state import State

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def change(id: str, state: State) -> Changed:
    return Changed(node_id=id, attempt=1, before=State.PENDING, state=state, at=AT)


def timers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)}


def test_it_is_imported_once_after_the_first_node_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported: list[str] = []
    may_go_on = threading.Event()

    def take(name: str) -> None:
        may_go_on.wait(20)
        imported.append(name)

    monkeypatch.setattr(preparing, "import_module", take)
    before = timers()
    prepare = preparing.preparing_the_end()
    prepare([change(SESSION_OPEN, State.QUEUED), change("model.shop.a", State.SKIPPED)])
    assert timers() == before
    prepare([change("model.shop.b", State.QUEUED)])
    prepare([change("model.shop.c", State.QUEUED)])
    (timer,) = timers() - before
    assert imported == []  # whoever told of the node goes on
    may_go_on.set()
    timer.join(20)
    assert imported == ["dbtorch.core.summary"]
