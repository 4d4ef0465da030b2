"""Hearing what people ask of a run while it goes on."""

import queue
import time

import pytest

from dbtorch.app.watch import ActionWatch
from dbtorch.core.history import Action, Verb
from dbtorch.ports import StoreError
from dbtorch.testing_store import MemoryStore
from tests.stores import NOON, a_run


def an_action(verb=Verb.CANCEL, **given):
    return Action(action=verb, at=NOON, actor="ana@desk", **given)


@pytest.fixture
def heard():
    return queue.SimpleQueue()


def watch(store, heard, **given):
    return ActionWatch(store, "r1", heard.put, every=0.01, **given)


def test_a_request_is_heard_once(heard):
    store = MemoryStore()
    store.begin(a_run(), [])
    with watch(store, heard):
        store.act("r1", an_action(node_id="model.a"))
        assert heard.get(timeout=5).node_id == "model.a"
        store.act("r1", an_action(node_id="model.b"))
        assert heard.get(timeout=5).node_id == "model.b"
        time.sleep(0.05)
    assert heard.empty()


def test_what_is_no_request_is_not_heard(heard):
    store = MemoryStore()
    store.begin(a_run(), [])
    store.act("r1", an_action())  # left from an earlier stretch
    store.act("r1", an_action(Verb.MARK))
    store.act("r1", an_action(handled_at=NOON))
    store.act("r1", an_action(reason="this one"))
    with watch(store, heard, after=1):
        assert heard.get(timeout=5).reason == "this one"
    assert heard.empty()


def test_a_store_that_fails_for_a_while_deafens_nobody(heard, caplog):
    class Flaky(MemoryStore):
        broken = True

        def actions(self, run_id, *, after=0):
            if self.broken:
                raise StoreError("the server is gone")
            return super().actions(run_id, after=after)

    store = Flaky()
    store.begin(a_run(), [])
    store.act("r1", an_action())
    with watch(store, heard):
        time.sleep(0.1)
        assert heard.empty()
        store.broken = False
        assert heard.get(timeout=5).ordinal == 1
    assert caplog.text.count("the server is gone") == 1  # said once, not every second


def test_it_ends_when_the_run_does(heard):
    store = MemoryStore()
    store.begin(a_run(), [])
    with watch(store, heard):
        pass
    store.act("r1", an_action())
    time.sleep(0.05)
    assert heard.empty()
