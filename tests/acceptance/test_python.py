"""The Python API, as programs use it: from scripts, from threads, for two projects at once."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import dbtorch
from tests.acceptance.conftest import PARTIAL_PARSE
from tests.acceptance.slow import set_slow, slow
from tests.acceptance.workspace import Workspace
from tests.zygote.client import BESIDE

PAGE = Path(__file__).parents[2] / "docs" / "python.md"

SHOP = {
    "models/orders.sql": "select 1 as id",
    "models/totals.sql": "select count(*) as orders from {{ ref('orders') }}",
}

#: A source that is as fresh as can be.
SOURCE = """
    sources:
      - name: raw
        schema: main
        tables:
          - name: orders
            loaded_at_field: loaded_at
            freshness: {error_after: {count: 1, period: hour}}
"""

#: What a run is started with that another one with its id must not change.
OTHERS = {
    "dbtorch.yml": "pipelines: {orders: {select: orders}}",
    "profiles.yml": """
        shop:
          target: dev
          outputs:
            dev: &dev {type: duckdb, path: warehouse.duckdb}
            other: *dev
    """,
}
ANOTHER: tuple[dict[str, Any], ...] = (
    {"select": "orders"},
    {"logical_date": "2020-01-01"},
    {"steps": False},
    {"pipeline": "orders"},
)

#: Runs the project, says what changes, and that it was interrupted.
SCRIPT = """
import dbtorch
try:
    dbtorch.Project(".").run(on_change=lambda change: print(change, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

#: Starts a run, and ends when the query runs, without waiting for it.
LEAVES = """
import dbtorch, threading
slow = threading.Event()
def hear(change):
    if (change.node_id, change.state) == ("model.shop.slow", "running"):
        slow.set()
dbtorch.Project(".").start(on_change=hear)
assert slow.wait(120)
"""


def script(workspace: Workspace, text: str) -> tuple[str, ...]:
    """The command that executes a script in a project."""
    (workspace.dir / "script.py").write_text(text)
    return (sys.executable, *BESIDE, "script.py")


def test_the_examples_of_the_page_do_what_it_says(workspace: Workspace) -> None:
    workspace.write(SHOP)
    calls, _, _ = PAGE.read_text(encoding="utf-8").partition("\n## Write a step type\n")
    examples = re.findall(r"```python\n(.*?)```", calls, re.DOTALL)
    with workspace.started(command=script(workspace, "\n".join(examples))) as running:
        said = running.ended()
    assert said.code == 0, said.out
    assert "totals after orders None" in said.out
    assert "model.shop.totals success: OK" in said.out
    assert "there is nothing to retry" in said.out
    assert "there is no run 'no such run'" in said.out
    listed = workspace.runs()
    assert [run["state"] for run in listed] == ["failed", "success"]  # one is marked
    assert workspace.is_quiet()


def test_an_interrupt_cancels_the_run(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started(command=script(workspace, SCRIPT)) as running:
        running.wait_for("model.shop.slow running")
        running.signal(signal.SIGINT)
        done = running.ended()
        assert (done.code, done.out.splitlines()[-1]) == (0, "interrupted")
        assert workspace.is_quiet()
    shown = workspace.show()
    assert (shown.state, shown.states["quick"]) == ("cancelled", "success")
    assert "KeyboardInterrupt" in shown.nodes["slow"]["reason"]


def test_nothing_goes_on_when_the_caller_is_killed(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started(command=script(workspace, SCRIPT)) as running:
        running.wait_for("model.shop.slow running")
        running.signal(signal.SIGKILL)
        running.process.wait()
        assert workspace.is_quiet()
    assert workspace.show().state == "interrupted"


def test_a_caller_that_ends_cancels_what_it_has_started(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started(command=script(workspace, LEAVES)) as running:
        assert running.ended().code == 0
        assert workspace.is_quiet()
    shown = workspace.show()
    assert shown.state == "cancelled"
    assert "the process that started it ended" in shown.nodes["slow"]["reason"]


def test_two_projects_run_at_once_in_one_process(
    workspace: Workspace, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    slow(workspace)
    fresh = {"models/orders.sql": "select 1 as id, now() as loaded_at", "models/raw.yml": SOURCE}
    other = Workspace(tmp_path / "other", {**SHOP, **fresh, **OTHERS})
    (other.dir / PARTIAL_PARSE).parent.mkdir()
    shutil.copy(request.getfixturevalue("parsed"), other.dir / PARTIAL_PARSE)
    before = state_of_process()
    runs_now = threading.Event()

    def hear(change: dbtorch.NodeChange) -> None:
        if (change.node_id, change.state) == ("model.shop.slow", "running"):
            runs_now.set()
            raise ZeroDivisionError  # what a listener does wrong is its own affair

    first = dbtorch.Project(workspace.dir, environ=workspace.environ())
    (other.dir / "profiles.yml").rename(tmp_path / "profiles.yml")
    history = f"sqlite:///{tmp_path / 'history.db'}"
    place: dict[str, Any] = {
        "profiles_dir": tmp_path,
        "store": history,
        "environ": other.environ(),
    }
    second = dbtorch.Project(other.dir, **place)
    handle = first.start(on_change=hear)
    assert runs_now.wait(workspace.patience)
    with pytest.raises(dbtorch.RunInProgress, match="wait for it to end") as held:
        first.run()
    assert held.value.run_id == handle.id
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(second.run, select="+totals", threads=1).result()
    assert (done.state, {node.name for node in done.nodes}) == ("success", {"orders", "totals"})
    assert not done.failed
    assert [run.run.run_id for run in second.runs()] == [done.id]
    assert not (other.dir / ".dbtorch" / "dbtorch.db").exists()
    (checked,) = second.freshness(select="source:raw")
    assert (checked.source.name, checked.status) == ("raw.orders", "pass"), checked.outcome
    assert not handle.done
    with pytest.raises(TimeoutError, match="it goes on"):
        handle.wait(timeout=0)
    handle.cancel(reason="enough")
    cancelled = handle.wait()
    assert (cancelled.id, cancelled.state, cancelled.ok) == (handle.id, "cancelled", False)
    assert workspace.is_quiet()
    assert other.is_quiet()
    assert first.show().to_json()["state"] == "cancelled"
    elsewhere = dbtorch.Project(other.dir, target="other", **place)
    for project, more in (*((second, more) for more in ANOTHER), (elsewhere, {})):
        with pytest.raises(dbtorch.UsageError, match=f"run {done.id} goes on as it was started"):
            project.run(**{"run_id": done.id, "select": "+totals", **more})
    for name in ("", "../job", "latest"):
        with pytest.raises(dbtorch.UsageError, match="is no run id"):
            second.run(run_id=name)
    set_slow(workspace, slow=False)
    assert first.retry(handle.id).ok
    assert state_of_process() == before


def state_of_process() -> tuple[object, ...]:
    """What belongs to the caller."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    hooks = (sys.excepthook, threading.excepthook)
    return (Path.cwd(), dict(os.environ), handlers, hooks)
