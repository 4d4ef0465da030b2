"""Steps on workers, as processes of their own: one dies, then the supervisor, and nothing is done twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.workspace import Shown, Workspace, eventually
from tests.dask_scheduler import dask_scheduler

FILES = {
    "dbtorch.yml": """
        defaults: {retry: {retries: 3, delay: 0s}}
        steps:
          far: {command: [sh, far.sh], queue: crm}
    """,
    "far.sh": """
        echo $$ >> there
        while [ ! -e may ]; do sleep 0.05; done
        echo "done by attempt $DBTORCH_ATTEMPT"
        echo '{"rows": 3}' > $DBTORCH_OUTPUT
    """,
    "models/a.sql": "select 1 as id",
}
WORKER = ("worker", "--queue", "crm")
RUN = ("--log-format", "json")


@pytest.fixture(params=["postgres", "dask"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What says where the word of steps goes."""
    if request.param == "postgres":
        yield {}
        return
    with dask_scheduler(tmp_path) as address:
        yield {"DBTORCH_QUEUE_URL": address}


@pytest.mark.postgres
def test_whoever_is_killed_a_step_is_done_once_at_a_time(
    tmp_path: Path, postgres_url: str, queue: dict[str, str]
) -> None:
    shop = Workspace(tmp_path / "shop", FILES)
    shop.env |= queue
    shop.env |= {"DBTORCH_DATABASE_URL": postgres_url, "DBTORCH_LEASE_LIFETIME": "6"}

    def at_work(number: int) -> None:
        """The so-many-th process of the step is the only one."""
        assert eventually(lambda: len(shop.lines("there")) == number)
        *before, last = shop.lines("there")
        assert not [pid for pid in before if Path(f"/proc/{pid}").exists()]
        assert Path(f"/proc/{last}").exists()

    with ExitStack() as stack:
        worker = stack.enter_context(shop.started(*WORKER))
        run = stack.enter_context(shop.started("run", *RUN))
        at_work(1)
        worker.process.kill()
        other = stack.enter_context(shop.started(*WORKER))
        at_work(2)  # the first attempt is lost
        run.process.kill()
        retry = stack.enter_context(shop.started("retry", *RUN))
        at_work(3)
        (shop.dir / "may").touch()
        assert retry.ended().code == 0, retry.out
        other.signal(signal.SIGTERM)
        assert other.ended().code == 0, other.out
    shown = Shown(shop.dbtorch("show", "--format", "json").json())
    assert shown.states == {"far": "success", "a": "success"}
    attempts = shown.nodes["far"]["attempts"]
    assert [one["state"] for one in attempts] == ["failed", "failed", "success"]
    assert [one["lost"] for one in attempts] == [True, True, False]
    assert "was not heard of in time" in attempts[0]["message"]
    assert shop.dbtorch("logs", "far").out.splitlines()[-2:] == [
        '# output {"rows": 3}',
        "done by attempt 3",
    ]
    assert len(shop.lines("there")) == 3
