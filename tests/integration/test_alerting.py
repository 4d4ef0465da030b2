"""Alerts of a run, from the listener to Slack's server: exactly once, and never in the way."""

import logging
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.notify.slack import SlackBot
from dbtorch.adapters.notify.webhook import Webhook
from dbtorch.adapters.store import open_store
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.app.alerting import Alerting
from dbtorch.app.delivery import BURST, DeliveryWorker
from dbtorch.core.alerts.alert import AlertEvent
from dbtorch.core.alerts.compose import AlertChannel, AlertComposer
from dbtorch.core.alerts.messages import AlertContext
from dbtorch.core.alerts.outbox import EntryKind
from dbtorch.core.alerts.routing import AlertRule, AlertsSpec
from dbtorch.core.errors import StoreError
from dbtorch.core.model.deadline import Late
from dbtorch.core.model.state import RunState
from dbtorch.testing.store import MemoryStore
from tests.acceptance.workspace import eventually
from tests.alerts import a_delivery, a_failure
from tests.slack_server import (
    TOKEN,
    Slack,
    arrives_and_drops,
    broken,
    rate_limited,
    slack_server,
    slow,
)
from tests.unit.loopback import serving
from tests.unit.story import EDGES, SHOP, broken_shop
from tests.waiting import PATIENCE, wait_for


@pytest.fixture
def server():
    with slack_server() as found:
        yield found


@pytest.fixture
def store(tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/runs.db", tmp_path)
    yield opened
    opened.close()


class Watched:
    """A run under the eyes of alerting: what it told, what was left, how long it took."""

    def __init__(self, store, notifiers, *, patience=PATIENCE, **scene):
        self.told = broken_shop()
        self.left = []
        self.seconds = {}
        clock = SystemClock()
        record = self.told.record
        values = {
            "project": "shop",
            "target": "prod",
            "pipeline": "daily",
            "run_id": record.run_id,
            "logical_date": record.logical_date,
            "started_at": record.started_at,
            "plan": self.told.plan,
            "spec": AlertsSpec(),
            "nodes": SHOP,
            "edges": EDGES,
        }
        places = {
            name: AlertChannel(style=notifier.style, address="C0000DATA" if name == "slack" else "")
            for name, notifier in notifiers.items()
        }

        def make():
            telling = AlertComposer(
                AlertContext(**{**values, **scene}),
                places,
                store.incidents("prod", "daily"),
                lambda place, key: store.message(place.notifier, place.address, key),
            )
            telling.begin(clock.now())
            return telling

        self.alerting = Alerting(
            make,
            store,
            notifiers,
            clock,
            run_id=record.run_id,
            random=lambda: 0.0,
            on_left=self.left.extend,
            patience=patience,
        )

    def run(self, *, until=lambda: True):
        """``until`` says when the run may end."""
        started = time.monotonic()
        with self.alerting:
            for _, changes in self.told.turns:
                self.alerting(changes)
            self.seconds["changes"] = time.monotonic() - started
            wait_for(until)
            self.alerting.ended(RunState.FAILED)
            started = time.monotonic()
        self.seconds["end"] = time.monotonic() - started
        return self


def a_bot(server: Slack):
    return SlackBot(TOKEN, api_url=server.url, timeout=PATIENCE)


def test_a_run_tells_slack_and_leaves_nothing(store, server):
    watched = Watched(store, {"slack": a_bot(server)}).run()
    (card,) = server.top_level()
    assert "pipeline daily failed" in card["text"]
    assert len(server.thread(card["ts"])) == 1
    assert watched.left == []
    assert watched.seconds["changes"] < PATIENCE / 2
    assert all(not one.pending for one in store.outbox())


@pytest.mark.parametrize(("every", "often"), [(0.01, True), (600.0, False)])
def test_progress_is_told_now_and_then(store, server, monkeypatch, every, often):
    monkeypatch.setattr("dbtorch.app.alerting.PROGRESS_EVERY", every)
    watches = AlertRule(events=frozenset({AlertEvent.SUCCEEDED}))
    watched = Watched(store, {"slack": a_bot(server)}, spec=AlertsSpec(rules=(watches,)))
    with watched.alerting:
        for _, changes in watched.told.turns:
            watched.alerting(changes)
            assert eventually(watched.alerting._queue.empty)
        if often:
            assert eventually(lambda: " success" in str(server.top_level()))
            assert "is running" in str(server.top_level())
        watched.alerting.ended(RunState.FAILED)
    (card,) = store.outbox()
    assert (card.version > 2) is often  # the run begins, and ends


def test_a_server_that_does_not_answer_costs_a_run_next_to_nothing(store, server):
    server.always = slow(PATIENCE)
    watched = Watched(store, {"slack": a_bot(server)}).run()
    assert watched.seconds["changes"] < PATIENCE / 2
    assert watched.seconds["end"] < PATIENCE / 2  # it is known to be slow after a second
    assert [one.entry.kind for one in watched.left] == [EntryKind.CARD, EntryKind.NOTE]


def test_at_the_end_a_moment_is_waited_and_no_longer(store, server):
    server.always = slow(PATIENCE)
    watched = Watched(store, {"slack": a_bot(server)}, patience=0.4).run()
    assert watched.seconds["end"] < PATIENCE / 2
    assert watched.left


def test_one_notifier_that_hangs_holds_up_no_other(store, server):
    server.always = slow(PATIENCE)
    with serving() as other:
        other.says("/in", 204)
        hook = Webhook(f"{other.url}/in")
        bot = a_bot(server)
        Watched(store, {"slack": bot, "webhook": hook}).run(until=lambda: other.requests)
        assert len(other.requests) == 1


@pytest.mark.parametrize("trouble", [rate_limited(1), broken], ids=["rate limited", "500"])
def test_what_could_not_be_delivered_is_delivered_later(store, server, trouble):
    server.trouble = [trouble]
    Watched(store, {"slack": a_bot(server)}).run(until=server.top_level)
    (card,) = server.top_level()
    assert len(server.thread(card["ts"])) == 1
    assert server.calls[0][0] == "chat.postMessage"


def test_slack_is_left_alone_for_as_long_as_it_asks(store, server):
    server.always = rate_limited(30)
    watched = Watched(store, {"slack": a_bot(server)}).run(until=lambda: server.calls)
    assert len(server.calls) == 1
    assert "ratelimited" in watched.left[0].error
    wait = watched.left[0].next_try_at - watched.left[0].created_at
    assert wait >= timedelta(seconds=29)
    assert watched.seconds["end"] < PATIENCE / 2


def test_the_next_run_delivers_what_the_last_one_left(store, server):
    wrong = SlackBot("xoxb-wrong", api_url=server.url, timeout=PATIENCE)
    left = Watched(store, {"slack": wrong}).run().left
    assert "invalid_auth" in left[0].error
    store.hurry()
    Watched(store, {"slack": a_bot(server)}).run()
    (card,) = server.top_level()
    assert len(server.thread(card["ts"])) == 1


def test_an_answer_that_is_lost_makes_no_second_message(store, server):
    server.trouble = [arrives_and_drops]
    Watched(store, {"slack": a_bot(server)}).run(until=lambda: len(server.calls) > 1)
    (card,) = server.top_level()
    assert len(server.thread(card["ts"])) == 1


def test_a_process_that_dies_between_sending_and_noting_sends_once(store, server):
    class Dying(MemoryStore):
        """Cannot note what was sent, as if the process were gone by then."""

        def delivered(self, delivery, receipt, at):
            raise StoreError("gone")

    dying = Dying()
    Watched(dying, {"slack": a_bot(server)}).run()
    assert len(server.messages) == 1
    claims_run_out = "UPDATE dbtorch_outbox SET claimed_until = created_at"
    dying._database.write(lambda transaction: transaction.run(claims_run_out))
    survivor = SqlStore(dying._database, dying.identity)
    Watched(survivor, {"slack": a_bot(server)}).run()
    (card,) = server.top_level()
    assert len(server.thread(card["ts"])) == 1


def test_a_deadline_is_told_when_it_is_missed(store, server):
    now = SystemClock().now()
    watched = Watched(store, {"slack": a_bot(server)})
    with watched.alerting:
        watched.alerting.late(Late(deadline=now, at=now, missed=True))
    (card,) = server.top_level()
    assert "is running" in card["text"]
    (reply,) = server.thread(card["ts"])
    assert "has missed its deadline" in reply["text"]


def test_a_store_that_fails_costs_alerts_and_nothing_else(server, caplog):
    class Broken(MemoryStore):
        def alert(self, entries, incidents=(), *, at):
            raise StoreError("the disk is full")

    with caplog.at_level(logging.WARNING):
        Watched(Broken(), {"slack": a_bot(server)}).run()
    assert server.calls == []
    assert "the disk is full" in caplog.text


def test_a_notifier_with_a_bug_costs_its_messages_and_nothing_else(store, caplog):
    class Buggy:
        style = SlackBot.style

        def deliver(self, delivery, thread):
            raise ZeroDivisionError("oh")

    watched = Watched(store, {"slack": Buggy()}).run()
    assert "ZeroDivisionError: oh" in watched.left[0].error


def test_an_alert_that_cannot_be_made_costs_no_other(store, server, caplog):
    watched = Watched(store, {"slack": a_bot(server)}, log_path=lambda _id, _attempt: 1 / 0)
    now = SystemClock().now()
    with watched.alerting:
        for _, changes in watched.told.turns:
            watched.alerting(changes)
            assert eventually(watched.alerting._queue.empty)
        watched.alerting.late(Late(deadline=now, at=now, missed=True))
    assert "an alert could not be made; the run goes on" in caplog.text
    (card,) = server.top_level()
    assert "has missed its deadline" in server.thread(card["ts"])[0]["text"]


class Notebook:
    """A notifier that takes everything."""

    style = SlackBot.style

    def __init__(self):
        self.told = []

    def deliver(self, delivery, thread):
        self.told.append(delivery.entry.key)
        return {}


def test_one_place_gets_no_more_than_it_takes(monkeypatch):
    monkeypatch.setattr("dbtorch.app.delivery.PACE", 600.0)
    store, notebook, clock = MemoryStore(), Notebook(), SystemClock()
    notes = [replace(a_delivery(a_failure()).entry, key=f"note {n}") for n in range(BURST + 5)]
    store.alert(notes, at=clock.now())
    courier = DeliveryWorker(store, "slack", notebook, clock, lambda: 0.0)
    courier.start()
    assert eventually(lambda: len(notebook.told) >= BURST)
    courier.stop()
    courier.join(PATIENCE)
    assert notebook.told == [f"note {n}" for n in range(BURST)]


class Bell(threading.Event):
    """Says when it falls silent: right before, and right after."""

    def __init__(self, said):
        super().__init__()
        self._said = said

    def clear(self):
        self._said()
        super().clear()
        self._said()


def test_who_is_called_has_not_settled_before_it_has_looked():
    store, notebook, clock = MemoryStore(), Notebook(), SystemClock()
    settled = []
    courier = DeliveryWorker(store, "slack", notebook, clock, lambda: 0.0)
    courier._bell = Bell(lambda: settled.append(courier.settled))
    courier.start()
    wait_for(lambda: courier.settled)

    store.alert([replace(a_delivery(a_failure()).entry, key="the last")], at=clock.now())
    courier.wake()
    assert not courier.settled or notebook.told
    wait_for(lambda: courier.settled)

    assert (set(settled), notebook.told) == ({False}, ["the last"])
    courier.stop()
    courier.join(PATIENCE)


def test_a_run_that_another_plan_goes_on_with_is_left_to_its_listener(store, server):
    server.always = slow(PATIENCE)
    first = Watched(store, {"slack": a_bot(server)})
    with first.alerting:
        first.alerting(first.told.turns[0][1])
        first.alerting.ended(None)
        started = time.monotonic()
    assert time.monotonic() - started < PATIENCE / 2
    assert first.left == []


def test_without_notifiers_nothing_happens(store):
    Watched(store, {}).run()
    assert store.outbox() == []
