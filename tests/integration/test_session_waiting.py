"""A node that waits for its next try holds no thread: the others go on as if it were not there."""

from __future__ import annotations

from pathlib import Path

from dbtorch.core.model.state import State
from dbtorch.core.settings import Settings
from tests.sessions import Shop, driven

DELAY = 10.0

FAILS_ONCE = """
    from pathlib import Path

    def model(dbt, session):
        tried = Path({folder!r}, dbt.this.identifier)
        if not tried.exists():
            tried.touch()
            raise ConnectionError("connection reset by peer")
        return session.sql("select 1 as id")
"""


def test_fifty_waiting_nodes_delay_the_others_by_nothing(tmp_path: Path) -> None:
    waiting = [f"waiting_{number:02}" for number in range(50)]
    others = [f"other_{number:02}" for number in range(20)]
    fails_once = FAILS_ONCE.format(folder=str(tmp_path))
    shop = Shop(
        tmp_path / "shop",
        {
            **{f"models/{name}.py": fails_once for name in waiting},
            **{f"models/{name}.sql": "select 1 as id" for name in others},
        },
        threads=2,
    )
    first = {name: Settings(priority=1, retries=1, retry_delay=DELAY) for name in waiting}

    found = driven(shop, settings=first)

    assert set(found.run.states.values()) == {State.SUCCESS}
    assert {found.history(name).count("up_for_retry") for name in waiting} == {1}
    # Everything could start at once, so both threads are busy until the last node has started;
    # a thread that waited with a node would be idle for ten seconds.
    models = [change for change in found.changes if change.node_id.startswith("model.")]
    last_start = max(c.at for c in models if c.state is State.QUEUED and c.attempt == 1)
    busy, idle, since = 0, 0.0, models[0].at
    for change in models:
        if busy < shop.target["threads"] and change.at <= last_start:
            idle += (change.at - since).total_seconds()
        busy += change.state.active - change.before.active
        since = change.at
    assert idle < DELAY / 2
