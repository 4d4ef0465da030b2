"""A supervisor that cannot renew its lease stops in time, and one that can goes on."""

import queue
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.app.inbox import Inbox, StartsPaused
from dbtorch.app.lease import LeaseKeeper
from dbtorch.core.errors import StoreError, UsageError
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.interval import until_now
from dbtorch.core.model.reason import ReasonKind
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.control import RunControl
from dbtorch.service.run.lease import hold_lease
from dbtorch.testing.store import MemoryStore
from tests.stores import NOON, a_lease, let_hold
from tests.waiting import PATIENCE

BRIEF = a_lease(expires_at=NOON + timedelta(seconds=1.2))


class Cut(MemoryStore):
    """A store whose network may be cut."""

    def __init__(self):
        super().__init__()
        self.cut = threading.Event()
        self.hangs = False
        self.freed = threading.Event()

    def renew(self, lease):
        if self.cut.is_set() and self.hangs:
            self.freed.wait()  # a connection that was dropped without a word
        if self.cut.is_set():
            raise StoreError("no connection")
        return super().renew(lease)


class Back(MemoryStore):
    """A store that cannot be reached until the run is held back."""

    def __init__(self, held_back):
        super().__init__()
        self.renewals = iter(["no connection"])
        self.held_back = held_back

    def renew(self, lease):
        for why in self.renewals:
            raise StoreError(why)
        assert self.held_back.wait(PATIENCE)
        return super().renew(lease)


class Heard(Inbox):
    """An inbox that is read event by event, however many have come meanwhile."""

    def __init__(self):
        super().__init__()
        self.unread = []
        self.held_back = threading.Event()

    def put(self, event):
        super().put(event)
        if event == StartsPaused(True):
            self.held_back.set()


@pytest.fixture
def inbox():
    return Heard()


def keeper(store, inbox, kill, lease=BRIEF):
    return LeaseKeeper(store, lease, inbox, kill)


def told(inbox):
    while not inbox.unread:
        inbox.unread += inbox.take(PATIENCE)
    return inbox.unread.pop(0)


@pytest.mark.parametrize("hangs", [False, True])
def test_who_cannot_renew_starts_nothing_then_ends_then_kills_what_it_started(inbox, hangs):
    store, killed = Cut(), queue.SimpleQueue()
    store.cut.set()
    store.hangs = hangs
    kept = keeper(store, inbox, lambda: killed.put("killed"))
    kept.__enter__()
    assert told(inbox) == StartsPaused(True)
    end = told(inbox)
    assert end.reason.kind is ReasonKind.LEASE_LOST
    assert end.reason.text.startswith("the lease of this pipeline could not be renewed for 0.9 s")
    assert end.within == pytest.approx(0.2)  # from three quarters of its 1.2 s to eleven twelfths
    assert killed.get(timeout=PATIENCE) == "killed"
    kept._done.set()
    store.freed.set()


def test_who_can_renew_again_goes_on(inbox):
    lease = replace(BRIEF, expires_at=NOON + timedelta(seconds=6))
    with keeper(Back(inbox.held_back), inbox, pytest.fail, lease):
        assert told(inbox) == StartsPaused(True)
        assert told(inbox) == StartsPaused(False)


def test_who_is_told_that_somebody_else_has_it_ends(inbox):
    store = Cut()
    with keeper(store, inbox, pytest.fail):
        let_hold(store, replace(a_lease("r2"), name=BRIEF.name))
        assert told(inbox).reason.text == "another run took over the lease of this pipeline"


def held(store, stack, notes, wait):
    now = until_now(None, NOON)
    run_context = RunContext(run_id="r2", pipeline="daily", interval=now, now=NOON)
    return hold_lease(
        stack, store, run_context, Inbox(), RunControl(), goes_on=False, note=notes.put, wait=wait
    )


def test_a_run_waits_for_the_one_before_it():
    notes = queue.SimpleQueue()
    store = MemoryStore(Identity(name="shop"))
    first, _ = store.acquire(a_lease("r1", name="/daily/default"))
    with ExitStack() as stack:
        with pytest.raises(UsageError, match="shop/daily is already being run by r1"):
            held(store, stack, notes, None)
        with pytest.raises(UsageError, match="wait for it to end with `--wait`"):
            held(store, stack, notes, 0.0)

        def give_back():
            assert notes.get(timeout=PATIENCE).startswith(
                "waits for r1, which runs shop/daily (pid 4711"
            )
            store.release(first)

        thread = threading.Thread(target=give_back)
        thread.start()
        assert held(store, stack, notes, 60.0).lease.run_id == "r2"
        thread.join()
