"""Hearing what people ask of a run while it goes on."""

import queue

import pytest

from dbtorch.app.requests import RequestWatcher
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import Action, Verb
from dbtorch.testing.store import MemoryStore
from tests.stores import NOON, a_run
from tests.waiting import PATIENCE, wait_for


class Looked(MemoryStore):
    """A store that counts how often it is looked into, and may be out of order."""

    broken = False
    looks = 0

    def actions(self, run_id, *, after=0):
        try:
            if self.broken:
                raise StoreError("the server is gone")
            return super().actions(run_id, after=after)
        finally:
            self.looks += 1

    def wait_for_looks(self, count):
        """Return when it has been looked into so many times more, and in a look that was on."""
        until = self.looks + count + 1
        wait_for(lambda: self.looks >= until)


def an_action(verb=Verb.CANCEL, **given):
    return Action(action=verb, at=NOON, actor="ana@desk", **given)


@pytest.fixture
def heard():
    return queue.SimpleQueue()


def watch(store, heard, **given):
    return RequestWatcher(store, "r1", heard.put, every=0.01, **given)


def test_a_request_is_heard_once(heard):
    store = Looked()
    store.begin(a_run(), [])
    with watch(store, heard):
        store.act("r1", an_action(node_id="model.a"))
        assert heard.get(timeout=PATIENCE).node_id == "model.a"
        store.act("r1", an_action(node_id="model.b"))
        assert heard.get(timeout=PATIENCE).node_id == "model.b"
        store.wait_for_looks(2)
    assert heard.empty()


def test_what_is_no_request_is_not_heard(heard):
    store = MemoryStore()
    store.begin(a_run(), [])
    store.act("r1", an_action())  # left from an earlier execution
    store.act("r1", an_action(Verb.MARK))
    store.act("r1", an_action(handled_at=NOON))
    store.act("r1", an_action(reason="this one"))
    with watch(store, heard, after=1):
        assert heard.get(timeout=PATIENCE).reason == "this one"
    assert heard.empty()


def test_a_store_that_fails_for_a_while_deafens_nobody(heard, caplog):
    store = Looked()
    store.broken = True
    store.begin(a_run(), [])
    store.act("r1", an_action())
    with watch(store, heard):
        store.wait_for_looks(3)
        assert heard.empty()
        store.broken = False
        assert heard.get(timeout=PATIENCE).ordinal == 1
    assert caplog.text.count("the server is gone") == 1  # said once, not every second


def test_it_ends_when_the_run_does(heard):
    store = MemoryStore()
    store.begin(a_run(), [])
    with watch(store, heard) as watching:
        pass
    store.act("r1", an_action())
    assert not watching._thread.is_alive()
    assert heard.empty()
