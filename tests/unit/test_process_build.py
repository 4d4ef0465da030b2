"""What a batch makes of a dbt that calls off what it does; a script stands in for it."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.process.build import Build, Surroundings
from dbtorch.adapters.dbt.process.entry import Entry
from dbtorch.adapters.dbt.process.executable import Executable
from dbtorch.adapters.steps.guard import Guard
from dbtorch.core.events import Attempt, Batch, Event, Finished, Started
from dbtorch.core.graph import Graph, Kind, Node
from dbtorch.core.state import State

FIRST, SECOND = Attempt("model.shop.first", 1), Attempt("model.shop.second", 1)

#: What every script begins with: lines as dbt 2 prints them, with the time of now.
SAYS = """
import json, signal, sys
from datetime import UTC, datetime, timedelta

begun = {}

def say(name, id, status="started", **more):
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    begun.setdefault(id, now)
    node = {"unique_id": id, "node_status": status, "node_started_at": begun[id]}
    if name == "NodeFinished":
        node["node_finished_at"] = now
        more["run_result"] = {"status": status}
    info = {"name": name, "level": "debug", "msg": more.pop("msg", ""), "ts": now}
    print(json.dumps({"info": info, "data": {"node_info": node, **more}}), flush=True)
"""


class Told:
    """What a batch told, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begun = threading.Event()

    def take(self, event: Event) -> None:
        self.events.append(event)
        if event == Started(SECOND):
            self.begun.set()

    def outcome(self, attempt: Attempt) -> Finished:
        (found,) = (e for e in self.events if isinstance(e, Finished) and e.attempt == attempt)
        return found


Followed = Callable[..., Told]


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    """Follows a script as if it were dbt, and cancels its second node once that has begun."""

    def follow(script: str, *, fail_fast: bool = False, cancels: bool = False) -> Told:
        path = tmp_path / "dbt.py"
        path.write_text(SAYS + textwrap.dedent(script))
        told, guard = Told(), Guard(grace=5, scratch=tmp_path / "scratch")
        entry = Entry(executable="dbt", command=(sys.executable, str(path)))
        executable = Executable(entry, tmp_path, os.environ, guard)
        nodes = [Node(id=a.node_id, kind=Kind.MODEL, name=a.node_id) for a in (FIRST, SECOND)]
        around = Surroundings(
            executable=executable,
            graph=Graph(nodes, []),
            materialized={},
            emit=told.take,
            log_path=lambda attempt: tmp_path / f"{attempt.node_id}.log",
            console=tmp_path / "console.log",
            results_path=tmp_path / "run_results.json",
            rules=(),
            grace=5,
            fail_fast=fail_fast,
            starting=threading.Lock(),
        )
        batch = Batch(1, (FIRST, SECOND))
        build = Build(batch, lambda: executable.start(()), around, lambda _: None)
        thread = threading.Thread(target=build.follow)
        thread.start()
        if cancels:
            assert told.begun.wait(30)
            build.cancel(SECOND)
        thread.join(30)
        guard.close()
        return told

    return follow


INTERRUPTED = """
say("NodeStart", "model.shop.first")
say("NodeFinished", "model.shop.first", "success")

def called_off(*_):
    say("NodeFinished", "model.shop.second", "success")
    sys.exit(1)

signal.signal(signal.SIGINT, called_off)
say("NodeStart", "model.shop.second")
signal.pause()
"""


def test_a_success_after_an_interrupt_is_none(followed: Followed) -> None:
    told = followed(INTERRUPTED, cancels=True)
    assert told.outcome(FIRST).outcome.state is State.SUCCESS
    second = told.outcome(SECOND).outcome
    assert (second.state, second.innocent) == (State.FAILED, False)
    assert "calling off" in second.message
    assert not second.details  # it must not be read as a success from there


def test_what_had_ended_before_the_interrupt_is_one(followed: Followed) -> None:
    script = """
    say("NodeStart", "model.shop.first")
    late = begun["model.shop.first"]

    def called_off(*_):
        node = {"unique_id": "model.shop.first", "node_started_at": late, "node_finished_at": late}
        info = {"name": "NodeFinished", "level": "debug"}
        data = {"node_info": node, "run_result": {"status": "success"}}
        print(json.dumps({"info": info, "data": data}), flush=True)
        sys.exit(1)

    signal.signal(signal.SIGINT, called_off)
    say("NodeStart", "model.shop.second")
    signal.pause()
    """
    told = followed(script, cancels=True)
    assert told.outcome(FIRST).outcome.state is State.SUCCESS


FAILS_FIRST = """
say("NodeStart", "model.shop.first")
say("NodeStart", "model.shop.second")
say("NodeFinished", "model.shop.first", "error")
say("NodeFinished", "model.shop.second", "success")
sys.exit(1)
"""


@pytest.mark.parametrize("fail_fast", [True, False])
def test_a_success_after_the_failure_that_ends_it_all_is_none(
    followed: Followed, *, fail_fast: bool
) -> None:
    second = followed(FAILS_FIRST, fail_fast=fail_fast).outcome(SECOND).outcome
    assert (second.state is State.SUCCESS, second.innocent) == (not fail_fast, fail_fast)


def test_what_dbt_itself_cancels_costs_no_try(followed: Followed) -> None:
    message = "[error] [TaskCancelled (dbt1404)]: Cancelled"
    script = f"""
    say("NodeStart", "model.shop.first")
    say("NodeStart", "model.shop.second")
    say("Generic", "model.shop.second", msg={json.dumps(message)})
    say("NodeFinished", "model.shop.second", "error")
    sys.exit(1)
    """
    second = followed(script).outcome(SECOND).outcome
    assert (second.state, second.innocent) == (State.FAILED, True)


def test_what_dbt_says_late_happened_when_it_says(followed: Followed) -> None:
    told = followed("""
        import time
        say("NodeStart", "model.shop.first")
        time.sleep(0.5)
        say("NodeFinished", "model.shop.first", "success")
        time.sleep(0.2)
        say("NodeStart", "model.shop.second")
        say("NodeFinished", "model.shop.second", "success")
    """)
    (began,) = (e for e in told.events if e == Started(FIRST))
    assert isinstance(began, Started)
    finished = told.outcome(FIRST)
    assert began.at is not None
    assert finished.at is not None
    assert (finished.at - began.at).total_seconds() >= 0.5
    second = told.outcome(SECOND)
    assert second.at is not None
    assert (second.at - finished.at).total_seconds() >= 0.2
