"""What every store promises about leases."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.adapters.processes.liveness import this_process
from dbtorch.core.errors import LeaseHeld, LeaseLost
from dbtorch.core.model.state import RunState, State
from tests.stores import (
    NOON,
    SUCCESS,
    a_lease,
    a_node,
    a_run,
    after,
    an_attempt,
    let_pass,
    whenever,
)  # fmt: skip

HERE = socket.gethostname()


def a_dead_process():
    """Number and description of one that has ended."""
    code = (
        "import os; from dbtorch.adapters.processes.liveness import this_process;"
        "print(os.getpid(), this_process())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid, process = done.stdout.strip().split(" ", 1)
    return int(pid), process


def test_a_free_lease_is_taken(store):
    assert store.holder("shop/default") is None
    taken, before = store.acquire(a_lease())
    assert (whenever(taken), before) == (a_lease(), None)
    assert store.holder("shop/default") == taken
    assert taken.lifetime == a_lease().lifetime


def test_the_clock_of_the_database_says_when_a_lease_is_over(store):
    wrong = a_lease(acquired_at=NOON - timedelta(days=900), expires_at=after(60 - 900 * 86_400))
    store.acquire(wrong)  # whatever this machine takes the time for
    with pytest.raises(LeaseHeld):
        store.acquire(a_lease("r2", pid=1))


def test_a_held_lease_says_who_has_it(store):
    taken, _ = store.acquire(a_lease("r1"))
    with pytest.raises(LeaseHeld) as refused:
        store.acquire(a_lease("r2", pid=1))
    assert refused.value.lease == taken
    assert store.holder("shop/default") == taken


def test_other_pipelines_have_other_leases(store):
    store.acquire(a_lease("r1"))
    store.acquire(a_lease("r2", name="shop/hourly"))
    assert store.holder("shop/hourly").run_id == "r2"


def test_who_drives_a_run_is_known_until_its_lease_is_over(store):
    assert store.driver("r1") is None
    taken, _ = store.acquire(a_lease("r1"))
    assert (store.driver("r1"), store.driver("r2")) == (taken, None)
    let_pass(store, 60)
    assert store.driver("r1") is None


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [
        (40, False),  # it holds for 60
        (60, True),  # until then, not longer
        (1_000, True),
    ],
)
def test_a_lease_that_is_over_is_taken_over(store, seconds, taken):
    first, _ = store.acquire(a_lease("r1"))
    let_pass(store, seconds)
    if taken:
        second, before = store.acquire(a_lease("r2"))
        assert store.holder("shop/default") == second
        assert whenever(before) == whenever(first)
    else:
        with pytest.raises(LeaseHeld):
            store.acquire(a_lease("r2"))


def test_a_lease_of_a_process_that_is_gone_is_taken_over(store):
    pid, process = a_dead_process()
    store.acquire(a_lease("r1", pid=pid, process=process))
    assert store.driver("r1") is None
    store.acquire(a_lease("r2", pid=os.getpid(), process=this_process()))
    assert store.holder("shop/default").run_id == "r2"


def test_a_process_with_the_number_of_one_that_is_gone_is_another(store):
    machine = this_process().rpartition(" ")[0]
    store.acquire(a_lease("r1", pid=os.getpid(), process=f"{machine} 17"))
    store.acquire(a_lease("r2", pid=os.getpid(), process=this_process()))
    assert store.holder("shop/default").run_id == "r2"


@pytest.mark.parametrize(
    ("pid", "process"),
    [
        pytest.param(os.getpid(), this_process(), id="alive"),
        pytest.param(2**30, "", id="nothing is known of where it runs"),
        pytest.param(2**30, "another-boot/4026531836 5", id="another machine of this name"),
        pytest.param(2**30, this_process().replace("/", "/7", 1), id="another container"),
    ],
)
def test_a_lease_whose_holder_may_live_is_left_alone(store, pid, process):
    store.acquire(a_lease("r1", host=HERE, pid=pid, process=process))
    assert store.driver("r1") is not None
    with pytest.raises(LeaseHeld):
        store.acquire(a_lease("r2", host=HERE, pid=2, process=this_process()))


def test_a_container_that_looks_the_same_goes_on_with_a_run_when_its_lease_is_over(store):
    there = a_lease("r1", host="worker", pid=1, process="boot/4026532001 300")
    here = replace(there, process="boot/4026532777 900")
    taken, _ = store.acquire(there)
    assert not store.renew(here)
    store.release(here)
    with pytest.raises(LeaseHeld):
        store.acquire(here)
    assert store.holder("shop/default") == taken
    let_pass(store, 60)
    store.acquire(here)
    with pytest.raises(LeaseLost):
        store.begin(a_run(), [], lease=taken)


def test_taking_a_lease_twice_is_no_conflict_with_oneself(store):
    store.acquire(a_lease())
    again, _ = store.acquire(a_lease())
    assert store.holder("shop/default") == again


def test_a_dbtorch_of_before_that_goes_on_has_the_pipeline(store):
    old = a_lease("r1", name="shop/old")
    store.acquire(old)
    with pytest.raises(LeaseHeld) as refused:
        store.acquire(a_lease("r2", process=this_process()), formerly="shop/old")
    assert refused.value.lease.run_id == "r1"
    let_pass(store, 60)
    store.acquire(a_lease("r2", process=this_process()), formerly="shop/old")


def test_a_renewed_lease_lives_longer(store):
    taken, _ = store.acquire(a_lease("r1"))
    let_pass(store, 50)
    assert store.renew(taken)
    let_pass(store, 50)
    with pytest.raises(LeaseHeld):
        store.acquire(a_lease("r2"))


def test_a_lease_that_somebody_else_has_is_not_renewed(store):
    assert not store.renew(a_lease("r1"))
    first, _ = store.acquire(a_lease("r1"))
    let_pass(store, 60)
    second, _ = store.acquire(a_lease("r2"))
    assert not store.renew(first)
    assert store.holder("shop/default") == second


def test_the_same_run_in_another_process_is_somebody_else(store):
    store.acquire(a_lease("r1", pid=1))
    assert not store.renew(a_lease("r1", pid=2))
    with pytest.raises(LeaseHeld):
        store.acquire(a_lease("r1", pid=2))


def test_a_lease_is_prolonged_by_the_lifetime_it_was_taken_with(store):
    taken, _ = store.acquire(a_lease(expires_at=after(2_000)))
    let_pass(store, 1_990)
    assert store.renew(taken)
    let_pass(store, 1_900)
    assert store.driver("r1") is not None


@pytest.mark.parametrize(
    "taken_by",
    [
        a_lease("r1", pid=2),  # who goes on with it
        a_lease("r2"),  # the next run
        a_lease("r1"),  # a number that came again
        None,  # taken, and given back
    ],
)
def test_who_stood_still_too_long_writes_nothing_more(store, taken_by):
    mine, _ = store.acquire(a_lease("r1"))
    store.begin(a_run(), [a_node("model.a")], lease=mine)
    store.record("r1", an_attempt("model.a", SUCCESS)[:2], lease=mine)
    store.renew(mine)
    store.record("r1", [], lease=mine)
    before = store.run("r1")

    let_pass(store, 70)
    other, _ = store.acquire(taken_by or a_lease("r3"))
    if taken_by is None:
        store.release(other)
    for write in (
        lambda: store.record("r1", an_attempt("model.a", SUCCESS)[2:], lease=mine),
        lambda: store.end("r1", RunState.SUCCESS, after(91), lease=mine),
        lambda: store.begin(a_run(), [a_node("model.b")], lease=mine),
    ):
        with pytest.raises(LeaseLost, match="run r1 was taken over by"):
            write()
    assert store.run("r1") == before

    store.record("r1", an_attempt("model.a", SUCCESS)[2:])  # who holds none is not asked
    assert store.run("r1").nodes[0].state is State.SUCCESS


def test_a_lease_that_is_over_and_that_nobody_took_still_lets_write(store):
    mine, _ = store.acquire(a_lease("r1"))
    let_pass(store, 70)
    store.begin(a_run(), [a_node("model.a")], lease=mine)  # at whatever time


def test_a_lease_is_given_back_by_its_holder_alone(store):
    store.release(a_lease("r1"))  # nobody has it: silent
    mine, _ = store.acquire(a_lease("r1"))
    store.release(a_lease("r2"))
    assert store.holder("shop/default").run_id == "r1"
    store.renew(mine)
    store.release(mine)  # however it was prolonged meanwhile
    assert store.holder("shop/default") is None
