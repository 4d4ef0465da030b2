"""What every store promises about what people ask of runs and do to them."""

import threading

import pytest

from dbtorch.adapters.store import open_store
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import Action, Verb
from tests.stores import NOON, a_node, a_run, after


def an_action(verb=Verb.CANCEL, **given) -> Action:
    return Action(**{"action": verb, "at": NOON, "actor": "ana@desk", **given})


def test_an_action_comes_back_as_it_was_written(store):
    store.begin(a_run(), [])
    action = an_action(
        Verb.MARK, node_id="model.a", state="success", reason="fixed by hand: ☃", at=after(0.25)
    )
    store.act("r1", action)
    (found,) = store.actions("r1")
    assert found.ordinal == 1
    assert found.handled_at is None
    assert (found.action, found.node_id, found.state) == (Verb.MARK, "model.a", "success")
    assert (found.at, found.actor, found.reason) == (after(0.25), "ana@desk", action.reason)


def test_an_action_may_be_handled_as_it_is_written(store):
    store.begin(a_run(), [])
    store.act("r1", an_action(handled_at=after(1)))
    assert store.actions("r1")[0].handled_at == after(1)


def test_actions_are_numbered_within_their_run(store):
    store.begin(a_run("r1"), [])
    store.begin(a_run("r2"), [])
    given = [store.act(run_id, an_action()) for run_id in ("r1", "r1", "r2", "r1")]
    assert given == [1, 2, 1, 3]
    assert [action.ordinal for action in store.actions("r1")] == [1, 2, 3]


def test_only_later_actions_are_asked_for(store):
    store.begin(a_run(), [])
    assert store.actions("r1") == []
    for reason in ("a", "b", "c"):
        store.act("r1", an_action(reason=reason))
    assert [action.reason for action in store.actions("r1", after=1)] == ["b", "c"]
    assert store.actions("r1", after=3) == []
    assert store.actions("no such run") == []


def test_when_an_action_was_handled_is_written_once(store):
    store.begin(a_run(), [])
    store.act("r1", an_action())
    store.act("r1", an_action())
    store.handled("r1", 1, after(5))
    store.handled("r1", 1, after(9))
    assert [action.handled_at for action in store.actions("r1")] == [after(5), None]


def test_a_run_is_read_with_its_actions(store):
    store.begin(a_run(), [a_node("model.a")])
    store.act("r1", an_action())
    assert store.run("r1").actions == tuple(store.actions("r1"))


def test_a_resumed_run_keeps_its_actions(store):
    store.begin(a_run(), [a_node("model.a")])
    store.act("r1", an_action())
    store.begin(store.run("r1"), [a_node("model.a")])
    assert [action.ordinal for action in store.run("r1").actions] == [1]


def test_nobody_acts_on_a_run_that_is_not_there(store):
    with pytest.raises(StoreError, match="there is no run r1"):
        store.act("r1", an_action())


def test_any_text_can_be_a_reason(store):
    store.begin(a_run(), [])
    store.act("r1", an_action(reason="half \ud800 and \0", actor="a\0@b"))
    assert len(store.actions("r1")) == 1


def test_two_who_act_at_once_are_both_heard(tmp_path, database_url):
    stores = [open_store(database_url, tmp_path) for _ in range(4)]
    stores[0].begin(a_run(), [])
    start = threading.Barrier(len(stores))

    def act(store):
        start.wait()
        for _ in range(10):
            store.act("r1", an_action())

    threads = [threading.Thread(target=act, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [action.ordinal for action in stores[0].actions("r1")] == list(range(1, 41))
    for store in stores:
        store.close()
