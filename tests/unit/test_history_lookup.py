"""From what somebody typed to a run or a node, and whether a run still lives."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.adapters.processes.liveness import this_process
from dbtorch.core.errors import UsageError
from dbtorch.core.history.records import Lease
from dbtorch.core.model.state import RunState
from dbtorch.service.history.lookup import find_node, holds_lease, resolve_run
from dbtorch.testing.store import MemoryStore
from tests.stores import let_hold
from tests.unit.story import NOON, Told, broken_shop
from tests.waiting import wait_for


@pytest.fixture
def history():
    """Three runs; two of them begin alike."""
    store = MemoryStore()
    for hour, run_id in ((10, "100000Z-aa1111"), (11, "110000Z-bb2222"), (12, "120000Z-bb3333")):
        at = NOON.replace(hour=hour)
        Told(store=store, run_id=f"20260301T{run_id}", started_at=at)
    return store


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("latest", "20260301T120000Z-bb3333"),
        ("20260301T110000Z-bb2222", "20260301T110000Z-bb2222"),
        ("20260301T10", "20260301T100000Z-aa1111"),  # the beginning of one
    ],
)
def test_a_run_is_found(history, text, found):
    assert resolve_run(history, text) == found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2025", "there is no run '2025'; `dbtorch runs` lists them"),
        (
            "20260301T1",
            "'20260301T1' may be one of 3 runs (20260301T120000Z-bb3333, 20260301T110000Z-bb2222, "
            "20260301T100000Z-aa1111); write more of it",
        ),
    ],
)
def test_a_run_that_is_not_there_is_one_sentence(history, text, sentence):
    with pytest.raises(UsageError) as raised:
        resolve_run(history, text)
    assert str(raised.value) == sentence


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_nothing_is_the_beginning_of_no_run_and_the_end_of_no_node(text):
    store = MemoryStore()
    Told(store=store, run_id="run-1")  # the only one: it would be meant
    with pytest.raises(UsageError, match=r"the RUN is empty: .* not set"):
        resolve_run(store, text)
    run = store.run("run-1")
    assert run is not None
    with pytest.raises(UsageError, match=r"the NODE is empty: .* not set"):
        find_node(run, text)


def test_the_latest_of_no_runs():
    with pytest.raises(
        UsageError, match="no run of this project is recorded yet; `dbtorch run` makes one"
    ):
        resolve_run(MemoryStore(), "latest")


def test_a_full_id_wins_over_longer_ones():
    store = MemoryStore()
    for run_id in ("run-1", "run-11"):
        Told(store=store, run_id=run_id)
    assert resolve_run(store, "run-1") == "run-1"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("model.shop.stg_orders", "model.shop.stg_orders"),
        ("shop.stg_orders", "model.shop.stg_orders"),  # an end of the id
        ("stg_rates", "model.shop.stg_rates"),
        ("not_null_orders", "test.shop.not_null_orders.a1b2c3"),  # the name within the id
        ("session.open", "session.open"),
    ],
)
def test_a_node_is_found(text, found):
    assert find_node(broken_shop().kept(), text).id == found


def test_nobody_means_an_end_of_the_session_who_mistypes_a_name():
    with pytest.raises(UsageError, match="has no node 'openn'; `dbtorch show"):
        find_node(broken_shop().kept(), "openn")


def lease(**more):
    at = {"acquired_at": NOON, "expires_at": NOON + timedelta(minutes=1)}
    held = {"name": "shop/daily", "run_id": "r", "host": socket.gethostname(), "pid": os.getpid()}
    return Lease(**{**held, "process": this_process(), **at, **more})


@pytest.mark.parametrize(
    ("held", "lives"),
    [
        (lease(), True),
        (None, False),
        (lease(run_id="another"), False),  # somebody else drives the pipeline now
        (lease(expires_at=NOON), False),
        (lease(pid=2**22 + 1), False),  # no such process; beyond Linux' largest pid
        (lease(process="elsewhere 1", pid=2**22 + 1), True),  # nobody can ask, its word counts
        (lease(process="elsewhere 1", expires_at=NOON), False),
    ],
)
def test_a_run_lives_as_long_as_its_lease_and_process(held, lives):
    store = MemoryStore(clock=lambda: NOON)
    if held is not None:
        let_hold(store, held)  # as it was left, not as it was prolonged
    record = replace(Told(run_id="r").kept(), state=RunState.RUNNING)
    assert holds_lease(store)(record) is lives


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say")
def test_a_process_that_nobody_has_waited_for_is_dead():
    code = "from dbtorch.adapters.processes.liveness import this_process; print(this_process())"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    its = process.stdout.read().strip()  # until it is gone, without taking note of its end
    process.stdout.close()
    store = MemoryStore(clock=lambda: NOON)
    let_hold(store, lease(pid=process.pid, process=its))
    alive = holds_lease(store)
    record = Told(run_id="r").kept()
    wait_for(lambda: not alive(record))  # its pipes close a moment before it is gone
    process.wait()
