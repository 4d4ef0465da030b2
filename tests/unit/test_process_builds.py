"""Builds one after another, and what they say compared with what they write."""

import json
import os
import sys
import threading
from contextlib import contextmanager

import pytest

from dbtorch.adapters.dbt.process.build import BatchContext, Build
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.processes.orphan_reaper import Guard
from dbtorch.core.model.events import Attempt, Batch, Ended, Started
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.state import FailureClass, State
from tests.gates import Gate

ID = "model.shop.a"

#: Stands before a gate if there is one, says what became of a model, and writes it.
SCRIPT = """
import json, pathlib, sys
status, written, path, gate = sys.argv[1:5]
if gate:
    open(gate).read()
for name, about in (("NodeStart", {}), ("NodeFinished", {"run_result": {"status": status}})):
    node = {"unique_id": "model.shop.a", "node_started_at": "", "node_finished_at": ""}
    info = {"name": name, "msg": "", "level": "debug", "ts": "2026-11-21T19:02:14Z"}
    print(json.dumps({"info": info, "data": {"node_info": node, **about}}), flush=True)
result = {"unique_id": "model.shop.a", "status": written, "timing": [], "execution_time": 0.0}
about = {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}
pathlib.Path(path).write_text(json.dumps({"metadata": about, "results": [result]}))
"""


@pytest.fixture
def stage(tmp_path):
    """Makes builds that start one after another; they tell it what happens."""
    guard = Guard(grace=1.0)
    events, starting = [], threading.Lock()
    entry = Launcher(executable="dbt", command=(sys.executable, "-c", SCRIPT))

    def build(status="success", written=None, gate=""):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        around = BatchContext(
            warned=lambda _: None,
            executable=Executable(entry, tmp_path, os.environ, guard),
            graph=Graph([Node(id=ID, kind=Kind.MODEL, name="a")], []),
            materialized={ID: "table"},
            emit=events.append,
            log_path=lambda attempt: tmp_path / "log",
            console=tmp_path / "console",
            results_path=path,
            rules=(),
            grace=1.0,
            fail_fast=False,
            starting=starting,
        )
        words = (status, written or status, str(path), str(gate))
        batch = Batch(len(events) + 1, (Attempt(ID, 1),))
        return Build(batch, lambda: around.executable.start(words), around, lambda _: None)

    build.events = events
    yield build
    guard.close()


@pytest.mark.parametrize(
    ("said", "written", "state", "contradicts"),
    [
        ("success", "success", State.SUCCESS, False),
        ("reused", "reused", State.REUSED, False),
        ("Reused", "Reused", State.REUSED, False),  # as some versions write it
        ("reused", "success", State.REUSED, False),
        ("success", "error", State.SUCCESS, True),
        ("reused", "error", State.REUSED, True),
    ],
)
def test_what_dbt_says_is_compared_with_what_it_writes(stage, said, written, state, contradicts):
    build = stage(said, written)
    build.follow()
    started, finished, ended = stage.events
    assert (type(started), type(ended)) == (Started, Ended)
    assert finished.outcome.state is state
    assert bool(build.contradictions) is contradicts
    assert build.doubted == ([ID] if contradicts else [])
    assert finished.outcome.details["status"] == said.lower()
    assert json.loads(json.dumps(dict(build.written[ID])))["status"] == written


def test_one_starts_when_another_has_made_the_schemas(stage, tmp_path):
    gate = Gate(tmp_path / "gate")
    first, second, third = stage(gate=tmp_path / "gate"), stage(), stage()
    with in_threads(first) as one:
        gate.wait()
        with in_threads(second, third) as others:
            third.cancel(Attempt(ID, 1))
            others[1].join()
            (ended,) = stage.events
            assert ended.reason == "cancelled before it started"
            assert ended.failure_class is FailureClass.UNKNOWN
            others[0].join(timeout=0.1)
            assert [thread.is_alive() for thread in (*one, *others)] == [True, True, False]
            gate.open()
    assert first.results[ID].state is second.results[ID].state is State.SUCCESS
    assert sum(isinstance(event, Started) for event in stage.events) == 2


@contextmanager
def in_threads(*builds):
    """Builds that are followed side by side, until all are over."""
    threads = [threading.Thread(target=build.follow) for build in builds]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join()
