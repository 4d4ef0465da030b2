"""Looks at relations: one dbt for all of them, and what becomes of a query that fails."""

import queue
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.operations.operation import Operation
from dbtorch.adapters.dbt.process.operations.relation_checks import (
    RelationCheckBatch,
    fitting,
    named,
    value_of,
)
from dbtorch.adapters.processes.orphan_reaper import Guard
from dbtorch.core.checks.relation_checks import (
    Newest,
    NullRate,
    RelationChecks,
    RowCount,
    SameSchema,
)
from dbtorch.core.model.events import Attempt, Batch, Ended, Finished, Started
from dbtorch.core.model.state import FailureClass, State
from tests.waiting import PATIENCE, eventually

#: Speaks as dbt does: a query that has "nope" in it fails, and every value is 3.
DBT = r"""
import json, os, signal, sys
def say(text, level="info", name="JinjaLogInfo"):
    print(json.dumps({"info": {"name": name, "level": level, "msg": text}, "data": {}}), flush=True)
def tell(what, about):
    say("dbtorch: " + json.dumps({"what": what, "about": about}))
open("starts", "a").write("x")
args = sys.argv[sys.argv.index("--args") + 1]
for place, one in enumerate(json.loads(json.loads(args)["asked"])):
    if one["relation"]["identifier"] == "locked":
        say("IO Error: Could not set lock on file", "error")
        sys.exit(1)
    tell("begins", place)
    if one["relation"]["identifier"] == "endless":
        while True:  # a signal right before `pause` would be heard by nobody
            signal.sigtimedwait([], 0.1)
    if one["relation"]["identifier"] == "stubborn":
        heard = []
        signal.signal(signal.SIGINT, lambda *_: heard.append(1))
        tell("sql", "ready")
        while not heard:  # a signal right before `pause` would be heard by nobody
            signal.sigtimedwait([], 0.1)
    if one["relation"]["identifier"] == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    tell("sql", "select " + one["listed"])
    if "nope" in one["listed"]:
        say("Encountered an error while running operation: Runtime Error\n  no nope", "error")
        sys.exit(2)
    value = {"none": False, "number": True, "string": False, "text": "3"}
    columns = [["id", "int"]] if one["columns"] and one["relation"]["identifier"] != "gone" else []
    tell("ends", {"values": [value for x in one["listed"].split(",") if x], "columns": columns})
"""

FINE = (RowCount(min=1), SameSchema())
BAD = (NullRate(column="id"), NullRate(column="nope"), SameSchema())


class Stage:
    """A batch of looks, and what it tells."""

    def __init__(self, folder: Path, checks):
        self.folder = folder
        self.told = queue.SimpleQueue()
        (folder / "dbt.py").write_text(DBT)
        self.guard = Guard(grace=5)
        entry = Launcher(executable="dbt", command=(sys.executable, str(folder / "dbt.py")))
        dbt = Executable(entry, folder, {}, self.guard)
        self.watches = {
            f"check.model.shop.{name}": RelationChecks(relation=f"model.shop.{name}", checks=found)
            for name, found in checks.items()
        }
        self.batch = Batch(1, tuple(Attempt(id, 1) for id in self.watches))
        relations = {f"model.shop.{name}": named("", {"name": name}) for name in checks}
        self.looks = RelationCheckBatch(
            self.batch,
            Operation(dbt, lambda: (), PATIENCE),
            self.watches,
            relations,
            emit=self.told.put,
            log_path=lambda attempt: folder / f"{attempt.node_id}.log",
            rules=(),
        )

    def follow(self):
        self.looks.follow()
        return self.everything()

    def everything(self):
        told = []
        while not self.told.empty():
            told.append(self.told.get())
        return told

    @property
    def starts(self):
        return len((self.folder / "starts").read_text())


@pytest.fixture
def stage(tmp_path):
    stages = []

    def make(**checks):
        stages.append(Stage(tmp_path, checks))
        return stages[-1]

    yield make
    for one in stages:
        one.guard.close()


def found(events):
    return {e.attempt.node_id.split(".")[-1]: e.outcome for e in events if isinstance(e, Finished)}


def test_everything_is_looked_at_by_one_dbt(stage):
    it = stage(a=FINE, b=FINE, gone=FINE)
    events = it.follow()
    assert it.starts == 1
    outcomes = found(events)
    assert (outcomes["a"].found.rows, outcomes["a"].found.columns) == (3, (("id", "int"),))
    assert outcomes["gone"].found.errors == {
        "schema": "the catalogue has no columns of it; is it there?"
    }
    assert isinstance(events[-1], Ended)
    assert [type(event) for event in events[:-1]] == [Started, Finished] * 3
    assert "select count(*) as value_0" in (it.folder / "check.model.shop.a.log").read_text()


def test_what_fails_is_asked_part_by_part_and_the_rest_goes_on(stage):
    it = stage(a=FINE, bad=BAD, c=FINE)
    outcomes = found(it.follow())
    assert outcomes["bad"].found.errors == {"null_rate(nope)": "no nope"}
    assert (outcomes["bad"].found.rows, outcomes["bad"].found.nulls) == (3, {"id": 0})
    assert outcomes["bad"].found.columns == (("id", "int"),)
    assert outcomes["c"].found.rows == 3
    assert it.starts == 3  # the whole, its parts, and what comes after the bad one


def test_where_every_part_fails_there_is_nothing_to_judge(stage):
    it = stage(bad=(Newest(column="nope", max_age=1),))
    outcome = found(it.follow())["bad"]
    assert (outcome.state, outcome.found) == (State.FAILED, None)
    assert outcome.message == "the checks of model.shop.bad could not be evaluated: no nope"


def test_a_warehouse_that_cannot_be_opened_is_nobody_s_fault(stage):
    (ended,) = stage(locked=FINE, a=FINE).follow()
    assert (ended.reason, ended.failure_class) == (
        "IO Error: Could not set lock on file",
        FailureClass.TRANSIENT,
    )


def test_a_dbt_that_is_killed_loses_what_it_had_in_hand(stage):
    events = stage(a=FINE, deadly=FINE, c=FINE).follow()
    assert found(events).keys() == {"a"}
    assert (events[-1].reason, events[-1].failure_class) == (
        "dbt was ended by SIGKILL",
        FailureClass.TRANSIENT,
    )


@pytest.mark.parametrize(("cancelled", "innocent"), [("endless", False), ("c", True)])
def test_who_is_cancelled_ends_dbt_and_the_others_are_innocent(stage, cancelled, innocent):
    it = stage(endless=FINE, c=FINE)
    told, emit = [], it.told.put
    attempt = next(a for a in it.batch.attempts if a.node_id.endswith(cancelled))

    def cancel(event):
        emit(event)
        if isinstance(event, Started):
            it.looks.cancel(attempt)

    it.looks._emit = cancel
    told = it.follow()
    outcome = found(told)["endless"]
    assert (outcome.state, outcome.innocent) == (State.FAILED, innocent)
    assert told[-1] == Ended(it.batch, "dbt was interrupted", FailureClass.UNKNOWN)
    assert it.starts == 1


def test_what_ends_after_an_interrupt_has_not_ended_well(stage):
    it = stage(stubborn=FINE)
    (attempt,) = it.batch.attempts
    log = it.folder / f"{attempt.node_id}.log"
    done = threading.Thread(target=it.looks.follow)
    done.start()
    assert eventually(lambda: log.is_file() and "ready" in log.read_text())
    it.looks.cancel(attempt)
    done.join()
    assert found(it.everything())["stubborn"].state is State.FAILED


def test_what_is_cancelled_before_it_begins_does_not_begin(stage):
    it = stage(a=FINE)
    it.looks.cancel(it.batch.attempts[0])
    assert it.follow() == [Ended(it.batch, "dbt was interrupted", FailureClass.UNKNOWN)]
    assert not (it.folder / "starts").exists()


def test_dbt_is_asked_no_more_than_an_argument_may_hold():
    one = {"listed": "x" * 10_000}
    assert 1 < fitting([one] * 50) < 50
    assert fitting([{"listed": "x" * 1_000_000}] * 2) == 1


def test_how_a_relation_is_found():
    node = {"name": "orders", "alias": "o", "database": "d", "schema": "s"}
    quoted = {**node, "config": {"quoting": {"identifier": True, "schema": None}}}
    assert named("source.shop.raw.orders", {**node, "source_name": "raw"})["source"] == [
        "raw",
        "orders",
    ]
    assert named("model.shop.orders", quoted)["relation"] == {
        "database": "d",
        "schema": "s",
        "identifier": "o",
        "quoting": {"identifier": True},
    }


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"none": True, "text": "None"}, None),
        ({"text": "20260101", "number": True}, Decimal(20260101)),
        ({"text": "20260101"}, Decimal(20260101)),  # dbt 2 says of a decimal that it is nothing
        ({"text": "20260101", "string": True}, "20260101"),
        ({"text": "2026-01-01 00:00:00"}, "2026-01-01 00:00:00"),
    ],
)
def test_what_a_value_is(said, value):
    assert value_of({"none": False, "number": False, "string": False, **said}) == value
