"""What the end of a run needs is imported once dbt has set out, and once."""

import time
from datetime import UTC, datetime

import pytest

from dbtorch.cli import stretch
from dbtorch.core.events import Changed
from dbtorch.core.plan import SESSION_OPEN
from dbtorch.core.state import State

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def change(id: str, state: State) -> Changed:
    return Changed(node_id=id, attempt=1, before=State.PENDING, state=state, at=AT)


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of modules, as they are imported."""
    found: list[str] = []
    monkeypatch.setattr(stretch, "import_module", found.append)
    return found


def test_it_is_imported_a_moment_after_the_first_node_is_on_its_way(imported: list[str]) -> None:
    prepare = stretch._preparing_the_end()
    prepare([change(SESSION_OPEN, State.QUEUED), change("model.shop.a", State.SKIPPED)])
    time.sleep(3 * stretch._MOMENT)
    assert imported == []
    prepare([change("model.shop.b", State.QUEUED)])
    prepare([change("model.shop.c", State.QUEUED)])
    assert imported == []  # dbt does not wait for it
    until = time.monotonic() + 20
    while not imported and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(3 * stretch._MOMENT)
    assert imported == ["dbtorch.core.summary"]
