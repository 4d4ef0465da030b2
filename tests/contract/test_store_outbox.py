"""What every store promises about messages to people, and about failures that last."""

import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from dbtorch.adapters.processes.liveness import this_process
from dbtorch.adapters.store import open_store, outbox
from dbtorch.core.alerts.incidents import Incident, Verdict
from dbtorch.core.alerts.outbox import Entry, EntryKind
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.service.alerts.notifiers import lasting
from tests.stores import NOON, a_node, a_run, after, an_attempt
from tests.waiting import PATIENCE


def a_note(key="r1/failed/model.a/1", **given) -> Entry:
    values = {
        "key": key,
        "notifier": "slack",
        "address": "#data",
        "kind": EntryKind.NOTE,
        "run_id": "r1",
        "body": {"alert": {"name": "a ☃"}},
    }
    return Entry(**{**values, **given})


def a_card(key="run/r1", **given) -> Entry:
    return a_note(key, kind=EntryKind.CARD, **{"body": {"card": {"state": "running"}}, **given})


def an_incident(node_id="model.a", **given) -> Incident:
    values = {
        "project": "shop",
        "target": "dev",
        "pipeline": "daily",
        "node_id": node_id,
        "failure_class": FailureClass.CODE,
        "opened_run": "r1",
        "opened_at": NOON,
        "last_run": "r1",
        "told_at": NOON,
    }
    return Incident(**{**values, **given})


def claimed(store, seconds=0, *, due=None, since=-3600, notifier="slack", until=60):
    return store.claim(
        notifier,
        now=after(seconds),
        until=after(seconds + until),
        due=after(seconds if due is None else due),
        since=after(since),
    )


def test_a_message_comes_back_as_it_was_written(store):
    entry = a_note(thread="run/r1", address="#data ☃")
    store.alert([entry], at=after(0.25))
    (found,) = store.outbox()
    assert found.entry == entry
    assert (found.created_at, found.version, found.sent_version) == (after(0.25), 1, 0)
    assert found.pending
    assert store.message("slack", "#data ☃", entry.key) == found
    assert store.message("slack", "#other", entry.key) is None


def test_a_note_is_kept_once(store):
    store.alert([a_note()], at=NOON)
    store.delivered(claimed(store), {"ts": "1.0"}, after(1))
    store.alert([a_note(body={"alert": {"name": "another text"}})], at=after(2))
    (found,) = store.outbox()
    assert found.entry.body == {"alert": {"name": "a ☃"}}
    assert not found.pending


def test_the_same_event_goes_to_every_destination(store):
    store.alert([a_note(), a_note(address="#ops"), a_note(notifier="email")], at=NOON)
    assert len(store.outbox(pending=True)) == 3


def test_a_card_that_says_something_else_is_to_be_sent_again_and_keeps_its_receipt(store):
    store.alert([a_card()], at=NOON)
    store.delivered(claimed(store), {"ts": "1.0"}, after(1))
    store.alert([a_card()], at=after(2))  # the same words
    assert claimed(store, 2) is None
    store.alert([a_card(body={"card": {"state": "failed"}})], at=after(3))
    found = claimed(store, 3)
    assert (found.version, found.sent_version, found.receipt) == (2, 1, {"ts": "1.0"})
    assert found.entry.body == {"card": {"state": "failed"}}


def test_a_card_that_changes_while_it_is_sent_is_sent_again(store):
    store.alert([a_card()], at=NOON)
    first = claimed(store)
    store.alert([a_card(body={"card": {"state": "failed"}})], at=after(1))
    store.delivered(first, {"ts": "1.0"}, after(2))
    assert claimed(store, 3).version == 2


def test_messages_are_sent_in_the_order_they_were_written(store):
    store.alert([a_note("b"), a_note("a")], at=NOON)
    store.alert([a_note("c")], at=after(1))
    keys = []
    while (found := claimed(store, 2)) is not None:
        keys.append(found.entry.key)
        store.delivered(found, {}, after(2))
    assert keys == ["b", "a", "c"]


def test_a_message_is_claimed_by_one(store):
    store.alert([a_note()], at=NOON)
    assert claimed(store) is not None
    assert claimed(store, 59) is None
    assert claimed(store, notifier="email") is None


def test_a_claim_that_was_never_answered_leaves_doubt(store):
    store.alert([a_note()], at=NOON)
    assert not claimed(store).unsure
    assert claimed(store, 61).unsure  # who claimed it before may have sent it
    store.delivered(claimed(store, 200), {}, after(200))
    assert not store.outbox()[0].unsure


def test_a_refused_message_waits_for_its_next_try(store):
    store.alert([a_note()], at=NOON)
    store.not_delivered(claimed(store), "invalid_auth \0", after(30))
    (found,) = store.outbox(pending=True)
    assert (found.tries, found.next_try_at, found.unsure) == (1, after(30), False)
    assert found.error.startswith("invalid_auth")
    assert claimed(store, 29) is None
    assert claimed(store, 29, due=30) is not None  # somebody who does not want to wait


def test_somebody_in_a_hurry_waits_for_no_next_try(store):
    store.alert([a_note("a"), a_note("b")], at=NOON)
    store.not_delivered(claimed(store), "down", after(3600))
    store.hurry()
    first = claimed(store, 1)
    assert first.entry.key == "a"
    store.not_delivered(first, "still down", after(3600))
    assert claimed(store, 1).entry.key == "b"  # each is tried once
    assert claimed(store, 1) is None


def test_what_a_dead_process_was_sending_is_free_at_once(tmp_path, database_url):
    store = open_store(database_url, tmp_path)
    store.alert([a_note()], at=NOON)
    code = f"""
from datetime import timedelta
from pathlib import Path
from dbtorch.adapters.store import open_store
from tests.stores import NOON
store = open_store({database_url!r}, Path({str(tmp_path)!r}))
hour = timedelta(hours=1)
assert store.claim("slack", now=NOON, until=NOON + hour, due=NOON, since=NOON) is not None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
    assert claimed(store, 1).unsure
    store.close()


@pytest.mark.parametrize(
    "process",
    [
        pytest.param("another-boot/4026531836 5", id="another machine"),
        pytest.param(this_process().replace("/", "/7", 1), id="another container of this name"),
        pytest.param("", id="nothing is known of where it runs"),
    ],
)
def test_what_somebody_sends_who_may_live_is_left_to_it(
    tmp_path, database_url, monkeypatch, process
):
    store = open_store(database_url, tmp_path)
    store.alert([a_note()], at=NOON)
    monkeypatch.setattr(outbox, "this_process", lambda: process)
    monkeypatch.setattr(os, "getpid", lambda: 2**30)  # which is not there on this machine
    assert claimed(store) is not None
    monkeypatch.undo()
    assert claimed(store, 1) is None
    assert claimed(store, 60).unsure
    store.close()


def test_doubt_is_kept_with_the_next_try(store):
    store.alert([a_note()], at=NOON)
    store.not_delivered(claimed(store), "timed out", after(1), unsure=True)
    assert claimed(store, 2).unsure


def test_old_messages_are_left_to_those_who_ask_for_them(store):
    store.alert([a_note()], at=NOON)
    assert claimed(store, 100, since=1) is None
    assert claimed(store, 100, since=0) is not None


def test_a_thread_waits_for_its_first_message(store):
    store.alert([a_card(), a_note("n", thread="run/r1"), a_note("o", thread="run/r0")], at=NOON)
    store.not_delivered(claimed(store), "down", after(60))
    assert claimed(store, 1).entry.key == "o"  # nobody ever wrote what begins its thread
    assert claimed(store, 1) is None
    store.delivered(claimed(store, 61), {"ts": "1.0"}, after(61))
    assert claimed(store, 61).entry.key == "n"


def test_messages_of_one_run(store):
    store.alert([a_note("a"), a_note("b", run_id="r2")], at=NOON)
    assert [found.entry.key for found in store.outbox(run_id="r2")] == ["b"]


def test_a_failure_lasts_until_it_is_over(store):
    first = an_incident(failure_class=None)
    store.alert([], [first, an_incident("model.b", opened_at=after(-5))], at=NOON)
    assert [one.node_id for one in store.incidents("dev", "daily")] == [
        "model.b",
        "model.a",
    ]
    assert store.incidents("dev", "hourly") == []
    again, _ = first.again(run_id="r2", failure_class=None, now=after(9))
    store.alert([], [again], at=after(9))
    assert store.incidents("dev", "daily")[1] == again
    store.alert([], [again.over(after(10))], at=after(10))
    assert [one.node_id for one in store.incidents("dev", "daily")] == ["model.b"]


def test_processes_that_send_at_once_never_send_the_same(tmp_path, database_url):
    stores = [open_store(database_url, tmp_path) for _ in range(4)]
    stores[0].alert([a_note(str(number)) for number in range(20)], at=NOON)
    start, sent = threading.Barrier(len(stores)), []

    def send(store):
        start.wait()
        while (found := claimed(store)) is not None:
            sent.append(found.entry.key)
            store.delivered(found, {}, NOON + timedelta(seconds=1))

    threads = [threading.Thread(target=send, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent, key=int) == [str(number) for number in range(20)]
    for store in stores:
        store.close()


def test_a_failure_after_a_success_that_nobody_was_told_of_is_another_one(store):
    """A run with alerts off, or without a token, succeeds as any other."""

    def run(run_id, started, state):
        store.begin(a_run(run_id, started_at=after(started)), [a_node("model.a")])
        store.record(run_id, an_attempt("model.a", Outcome(state=state), start=started + 1))
        store.end(run_id, RunState(state), after(started + 9))

    run("r1", 0, State.FAILED)
    store.alert([], [an_incident(pipeline="default", opened_run="r1", last_run="r1")], at=after(5))
    (before,) = lasting(store, "dev", "default")
    gone_on, verdict = before.again(run_id="r9", failure_class=FailureClass.CODE, now=after(15))
    assert (gone_on.in_a_row, verdict) == (2, Verdict.AGAIN)

    run("r2", 20, State.SUCCESS)
    (known,) = lasting(store, "dev", "default")
    opened, verdict = known.again(run_id="r3", failure_class=FailureClass.CODE, now=after(40))
    assert (opened.opened_run, opened.in_a_row, verdict) == ("r3", 1, Verdict.FIRST)
    assert not opened.worked_since
