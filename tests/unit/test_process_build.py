"""What a batch makes of a dbt that calls off what it does; a script stands in for it."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.process.build import BatchContext, Build
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.processes.orphan_reaper import Guard
from dbtorch.core.model.events import NOTHING_EXECUTED, Attempt, Batch, Event, Finished, Started
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.state import State
from tests.waiting import PATIENCE

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

    contradictions: list[str]
    doubted: list[str]

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

    def follow(
        script: str,
        *,
        fail_fast: bool = False,
        cancels: bool = False,
        edges: Sequence[tuple[str, str]] = (),
        tells_microbatches: bool = False,
    ) -> Told:
        path = tmp_path / "dbt.py"
        path.write_text(SAYS + textwrap.dedent(script))
        told, guard = Told(), Guard(grace=5)
        entry = Launcher(executable="dbt", command=(sys.executable, str(path)))
        executable = Executable(entry, tmp_path, os.environ, guard)
        nodes = [
            Node(id=a.node_id, kind=Kind.MODEL, name=a.node_id, splits=a is SECOND)
            for a in (FIRST, SECOND)
        ]
        around = BatchContext(
            warned=lambda _: None,
            executable=executable,
            graph=Graph(nodes, edges),
            materialized={},
            emit=told.take,
            log_path=lambda attempt: tmp_path / f"{attempt.node_id}.log",
            console=tmp_path / "console.log",
            results_path=tmp_path / "run_results.json",
            rules=(),
            grace=PATIENCE,
            fail_fast=fail_fast,
            starting=threading.Lock(),
            tells_microbatches=tells_microbatches,
        )
        batch = Batch(1, (FIRST, SECOND))
        build = Build(batch, lambda: executable.start(()), around, lambda _: None)
        thread = threading.Thread(target=build.follow)
        thread.start()
        if cancels:
            assert told.begun.wait(PATIENCE)
            build.cancel(SECOND)
        thread.join(PATIENCE)
        guard.close()
        told.contradictions, told.doubted = build.contradictions, build.doubted
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
while True:  # a signal right before `pause` would be heard by nobody
    signal.sigtimedwait([], 0.1)
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
    while True:  # a signal right before `pause` would be heard by nobody
        signal.sigtimedwait([], 0.1)
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


ALL_WELL = """
for id in ("model.shop.first", "model.shop.second"):
    say("NodeStart", id)
    say("NodeFinished", id, "success")
"""


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("sys.exit(0)", None),
        ("sys.exit(2)", "it does not say why"),
        (
            'print(json.dumps({"info": {"name": "E", "level": "error", "msg": "disk full"}, "data": {}}))\n'
            "sys.exit(2)",
            "disk full",
        ),
    ],
)
def test_a_dbt_that_fails_after_nodes_that_all_ended_well_has_failed(
    followed: Followed, end: str, said: str | None
) -> None:
    told = followed(ALL_WELL + end)
    assert told.outcome(SECOND).outcome.state is State.SUCCESS
    sentence = "dbt ended with exit code 2, though every node it executed ended well"
    assert told.contradictions == ([f"{sentence}: {said}"] if said else [])
    # a retry that did nothing again would be green without anybody having seen dbt end well
    assert told.doubted == ([FIRST.node_id, SECOND.node_id] if said else [])


def test_a_dbt_that_fails_because_a_node_does_contradicts_nothing(followed: Followed) -> None:
    assert not followed(FAILS_FIRST).contradictions


def test_what_a_dbt_built_that_executed_more_than_it_was_given_is_in_doubt(
    followed: Followed,
) -> None:
    told = followed(f"{ALL_WELL}say('NodeStart', 'model.shop.third')")
    assert told.contradictions == ["dbt executed model.shop.third, which it was not asked for"]
    assert told.doubted == [FIRST.node_id, SECOND.node_id]


def test_what_was_built_without_what_comes_before_it_is_in_doubt(followed: Followed) -> None:
    only_the_second = """
say("NodeStart", "model.shop.second")
say("NodeFinished", "model.shop.second", "success")
"""
    told = followed(only_the_second, edges=[(FIRST.node_id, SECOND.node_id)])
    assert told.contradictions == [
        "dbt executed model.shop.second, and not model.shop.first before it"
    ]
    assert told.doubted == [SECOND.node_id]
    assert not followed(ALL_WELL, edges=[(FIRST.node_id, SECOND.node_id)]).doubted
    assert not followed(only_the_second).doubted


PLANS = """
say("NodeStart", "model.shop.second")
print(json.dumps({"info": {"name": "MicrobatchesPlanned", "level": "debug", "msg": ""}, "data": {
    "windows": [["2022-01-01T00:00:00+00:00", "2023-01-01T00:00:00+00:00"]],
    "node_info": {"unique_id": "model.shop.second"}}}), flush=True)
say("NodeFinished", "model.shop.second", "error")
"""


@pytest.mark.parametrize(
    ("script", "tells", "nothing"),
    [
        (PLANS, True, None),
        (FAILS_SECOND := PLANS.split("print", maxsplit=1)[0] + PLANS.splitlines()[-1], True, True),
        (FAILS_SECOND, False, None),  # this dbt would say nothing of what it is about to build
    ],
)
def test_a_microbatch_model_is_untouched_where_dbt_had_not_planned_it(
    followed: Followed, script: str, tells: bool, nothing: bool | None
) -> None:
    outcome = followed(script, tells_microbatches=tells).outcome(SECOND).outcome
    assert outcome.state is State.FAILED
    assert outcome.details.get(NOTHING_EXECUTED) is nothing
