"""What every store promises about leases."""

import os
import socket
import subprocess
import sys
from datetime import timedelta

import pytest

from dbtorch.core.state import RunState, State
from dbtorch.ports import LeaseHeld, LeaseLost
from tests.stores import NOON, SUCCESS, a_lease, a_node, a_run, after, an_attempt

SOON = after(10)
HERE = socket.gethostname()


def test_a_free_lease_is_taken(store):
    assert store.holder("shop/default") is None
    store.acquire(a_lease(), now=NOON)
    assert store.holder("shop/default") == a_lease()


def test_a_held_lease_says_who_has_it(store):
    store.acquire(a_lease("r1"), now=NOON)
    with pytest.raises(LeaseHeld) as refused:
        store.acquire(a_lease("r2", pid=1), now=SOON)
    assert refused.value.lease == a_lease("r1")
    assert store.holder("shop/default") == a_lease("r1")


def test_other_pipelines_have_other_leases(store):
    store.acquire(a_lease("r1"), now=NOON)
    store.acquire(a_lease("r2", name="shop/hourly"), now=NOON)
    assert store.holder("shop/hourly").run_id == "r2"


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [
        (59.999999, False),  # a moment before it expires
        (60, True),  # it holds until then, not longer
        (1_000, True),
    ],
)
def test_an_expired_lease_is_taken_over(store, seconds, taken):
    store.acquire(a_lease("r1"), now=NOON)
    later = a_lease("r2", acquired_at=after(seconds), expires_at=after(seconds + 60))
    if taken:
        store.acquire(later, now=after(seconds))
        assert store.holder("shop/default") == later
    else:
        with pytest.raises(LeaseHeld):
            store.acquire(later, now=after(seconds))


def test_a_lease_of_a_dead_process_on_this_machine_is_taken_over(store):
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
    dead.wait()
    store.acquire(a_lease("r1", host=HERE, pid=dead.pid), now=NOON)
    store.acquire(a_lease("r2", host=HERE, pid=os.getpid()), now=SOON)
    assert store.holder("shop/default").run_id == "r2"


@pytest.mark.parametrize(
    ("host", "pid"),
    [
        pytest.param(HERE, os.getpid(), id="alive"),
        pytest.param(HERE, 1, id="alive, perhaps another user's"),
        pytest.param(HERE, 0, id="no process at all: nothing is known"),
        pytest.param("elsewhere", 2**30, id="nothing is known about other machines"),
    ],
)
def test_a_lease_whose_holder_may_live_is_left_alone(store, host, pid):
    store.acquire(a_lease("r1", host=host, pid=pid), now=NOON)
    with pytest.raises(LeaseHeld):
        store.acquire(a_lease("r2", host=host, pid=2), now=SOON)


def test_taking_a_lease_twice_is_no_conflict_with_oneself(store):
    store.acquire(a_lease(), now=NOON)
    again = a_lease(acquired_at=SOON, expires_at=after(70))
    store.acquire(again, now=SOON)
    assert store.holder("shop/default") == again


def test_a_renewed_lease_lives_longer(store):
    store.acquire(a_lease("r1"), now=NOON)
    assert store.renew(a_lease("r1"), now=after(50))
    assert store.holder("shop/default") == a_lease("r1", expires_at=after(110))
    with pytest.raises(LeaseHeld):
        store.acquire(a_lease("r2"), now=after(100))


def test_a_lease_that_somebody_else_has_is_not_renewed(store):
    assert not store.renew(a_lease("r1"), now=NOON)
    store.acquire(a_lease("r1"), now=NOON)
    store.acquire(a_lease("r2", expires_at=after(200)), now=after(90))
    assert not store.renew(a_lease("r1"), now=after(91))
    assert store.holder("shop/default").expires_at == after(200)


def test_the_same_run_in_another_process_is_somebody_else(store):
    store.acquire(a_lease("r1", pid=1), now=NOON)
    assert not store.renew(a_lease("r1", pid=2), now=SOON)
    with pytest.raises(LeaseHeld):
        store.acquire(a_lease("r1", pid=2), now=SOON)


def test_a_lease_is_prolonged_by_the_lifetime_it_was_taken_with(store):
    mine = a_lease(expires_at=after(2))
    store.acquire(mine, now=NOON)
    assert store.renew(mine, now=after(1))
    assert store.holder("shop/default").expires_at == after(3)


@pytest.mark.parametrize(
    "taken_by",
    [
        a_lease("r1", pid=2, acquired_at=after(90), expires_at=after(150)),  # who goes on with it
        a_lease("r2", acquired_at=after(90), expires_at=after(150)),  # the next run
        a_lease("r1", acquired_at=after(90), expires_at=after(150)),  # a number that came again
        None,  # taken, and given back
    ],
)
def test_who_stood_still_too_long_writes_nothing_more(store, taken_by):
    mine = a_lease("r1")
    store.acquire(mine, now=NOON)
    store.begin(a_run(), [a_node("model.a")], lease=mine)
    store.record("r1", an_attempt("model.a", SUCCESS)[:2], lease=mine)
    store.renew(mine, now=after(30))
    store.record("r1", [], lease=mine)
    before = store.run("r1")

    other = taken_by or a_lease("r3", acquired_at=after(90), expires_at=after(150))
    store.acquire(other, now=after(90))
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


def test_a_lease_that_expired_and_that_nobody_took_still_lets_write(store):
    mine = a_lease("r1")
    store.acquire(mine, now=NOON)
    store.begin(a_run(), [a_node("model.a")], lease=mine)  # at whatever time


def test_a_lease_is_given_back_by_its_holder_alone(store):
    store.release(a_lease("r1"))  # nobody has it: silent
    store.acquire(a_lease("r1"), now=NOON)
    store.release(a_lease("r2"))
    assert store.holder("shop/default").run_id == "r1"
    renewed = a_lease("r1", expires_at=NOON + timedelta(days=1))
    store.release(renewed)  # however it was prolonged meanwhile
    assert store.holder("shop/default") is None
