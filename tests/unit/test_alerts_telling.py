"""What a run comes to in messages: first failures, the same again, recoveries, deadlines."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.core.alerts.alert import AlertEvent, Severity, from_json
from dbtorch.core.alerts.card import card_from_json, card_key, card_to_json
from dbtorch.core.alerts.compose import AlertChannel, AlertComposer
from dbtorch.core.alerts.messages import AlertContext
from dbtorch.core.alerts.outbox import EntryKind, Style
from dbtorch.core.alerts.routing import (
    AlertRule,
    AlertsSpec,
    Destination,
    OwnerRoute,
    destinations,
    wanted,
)
from dbtorch.core.model.deadline import Late
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.freshness import BEYOND
from dbtorch.core.model.gate import Gate, OnStale
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import THREADS
from dbtorch.testing.store import MemoryStore
from tests.alerts import a_card, an_alert
from tests.unit.story import EDGES, LOST, NOON, SHOP, WRONG, Told, broken_shop, plan

SLACK = Destination("slack", "#data")
MAIL = Destination("email", "data@example.com")
HOOK = Destination("webhook")
PLACES = {
    "slack": AlertChannel(style=Style.THREADS, address="#data"),
    "email": AlertChannel(style=Style.DIGEST, address="data@example.com"),
    "webhook": AlertChannel(style=Style.STREAM),
}
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

KPIS = Node(id="exposure.shop.kpis", kind=Kind.EXPOSURE, name="weekly_kpis", owner="bi-team")


def the_scene(told, spec=None, **given):
    values = {
        "project": "shop",
        "target": "prod",
        "pipeline": "daily",
        "run_id": told.record.run_id,
        "logical_date": told.record.logical_date,
        "started_at": told.record.started_at,
        "plan": told.plan,
        "spec": spec or AlertsSpec(),
        "nodes": (*SHOP, KPIS),
        "edges": (*EDGES, ("model.shop.fct_kpis", KPIS.id)),
        "log_path": lambda node_id, number: f"logs/{node_id}/{number}.log",
    }
    return AlertContext(**{**values, **given})


def tell(told, store, spec=None, *, places=PLACES, earlier=None, until=None, **given):
    """The run's messages, put into the store; answers the telling."""
    telling = AlertComposer(
        the_scene(told, spec, **given),
        places,
        store.incidents("prod", "daily"),
        lambda place, key: store.message(place.notifier, place.address, key),
        written=store.outbox(run_id=told.record.run_id) if earlier is not None else (),
        states={node.id: node.state for node in earlier.nodes} if earlier is not None else None,
    )
    telling.begin(told.record.started_at, earlier.nodes if earlier is not None else ())
    for _, changes in told.turns[:until]:
        telling.changed(changes)
        keep(telling, store, told.now)
    if told.run.finished and until is None:
        telling.ended(told.run.state, told.now)
    keep(telling, store, told.now)
    return telling


def keep(telling, store, now):
    entries, incidents = telling.take(all_cards=True)
    store.alert(entries, incidents, at=now)


def a_run(number=1, outcomes=None, **more):
    """The run of a day; all is well but for these outcomes."""
    at = NOON + (number - 1) * DAY
    return Told(outcomes or {}, run_id=f"run{number}", started_at=at, **more)


def failing(number=1, outcome=WRONG, **more):
    return a_run(number, {"model.shop.fct_orders": [outcome]}, **more)


def notes(store, place, run_id=None):
    found = [
        one.entry
        for one in store.outbox(run_id=run_id)
        if one.entry.kind is EntryKind.NOTE
        and (one.entry.notifier, one.entry.address) == (place.notifier, place.address)
    ]
    return [(from_json(entry.body["alert"]), entry) for entry in found]


def said(store, place, run_id=None):
    """Event, name, loud, thread of every note."""
    return [
        (alert.event.value, alert.name, entry.body["loud"], entry.thread)
        for alert, entry in notes(store, place, run_id)
    ]


def card(store, place, run_id="run1"):
    found = store.message(place.notifier, place.address, card_key(run_id))
    return None if found is None else card_from_json(found.entry.body["card"])


@pytest.fixture
def store():
    return MemoryStore()


def test_a_run_that_goes_well_is_no_news(store):
    tell(a_run(), store)
    assert store.outbox() == []
    assert store.incidents("prod", "daily") == []


def test_a_failure_says_everything_a_person_needs(store):
    told = failing()
    tell(told, store)
    ((alert, entry),) = notes(store, SLACK)
    assert (alert.pipeline, alert.run_id, alert.logical_date) == ("daily", "run1", NOON)
    assert (alert.kind, alert.name) == ("model", "fct_orders")
    assert (alert.attempt, alert.attempts, alert.failure_class) == (1, 1, FailureClass.CODE)
    assert alert.message.startswith("Binder Error")  # dbt's heading is said elsewhere
    assert alert.owner == "ana"
    assert alert.runbook == "docs/fct.md"
    assert alert.log == "logs/model.shop.fct_orders/1.log"
    assert alert.command == "dbtorch retry run1"
    assert alert.blocked_names[0] == "weekly_kpis"  # what people notice first
    assert set(alert.blocked_names) == {"weekly_kpis", "fct_kpis", "export_kpis"}
    assert alert.blocked == 3
    assert entry.body["loud"]


def test_one_card_a_run_with_the_failure_in_its_thread(store):
    tell(failing(), store)
    mine = card(store, SLACK)
    assert mine.state is RunState.FAILED
    assert [failure.name for failure in mine.failures] == ["fct_orders"]
    assert mine.counts["upstream_failed"] == 3
    assert "session" not in str(mine.counts)
    assert said(store, SLACK) == [("failed", "fct_orders", True, "run/run1")]
    assert said(store, MAIL) == []  # its card says it
    assert card(store, MAIL).failed == 1
    assert said(store, HOOK) == [("failed", "fct_orders", True, "")]
    assert card(store, HOOK) is None


def test_the_same_failure_in_the_next_runs_goes_quietly_to_the_first_thread(store):
    for number in (1, 2, 3):
        tell(failing(number), store, AlertsSpec(remind_after=10 * 86400))
    assert said(store, SLACK) == [
        ("failed", "fct_orders", True, "run/run1"),
        ("failed", "fct_orders", False, "run/run1"),
        ("failed", "fct_orders", False, "run/run1"),
    ]
    third = notes(store, SLACK)[-1][0]
    assert third.in_a_row == 3
    assert third.since is not None
    assert card(store, SLACK, "run2") is None  # nobody is disturbed
    assert card(store, MAIL, "run2") is None
    assert [loud for _, _, loud, _ in said(store, HOOK)] == [True, False, False]


def test_a_failure_that_lasts_is_told_aloud_again_after_a_while(store):
    for number in (1, 2, 3):
        tell(failing(number), store, AlertsSpec(remind_after=1.5 * 86400))
    events = [(event, loud) for event, _, loud, _ in said(store, SLACK)]
    assert events == [("failed", True), ("failed", False), ("reminder", True)]
    assert notes(store, SLACK)[-1][1].body["broadcast"]
    assert said(store, MAIL) == [("reminder", "fct_orders", True, "run/run1")]
    tell(failing(4), store, AlertsSpec(remind_after=1.5 * 86400))
    assert said(store, SLACK)[-1][2] is False  # reminded yesterday


def test_a_failure_of_another_class_is_another_failure(store):
    tell(failing(1), store)
    other = Outcome(state=State.FAILED, message="bad row", failure_class=FailureClass.DATA)
    tell(failing(2, other), store)
    assert said(store, SLACK)[-1] == ("failed", "fct_orders", True, "run/run2")


def test_a_recovery_is_told_where_the_failure_was(store):
    tell(failing(1), store)
    tell(failing(2), store)
    tell(a_run(3), store)
    assert said(store, SLACK)[-1] == ("recovered", "fct_orders", False, "run/run1")
    assert card(store, SLACK).recovered == (("fct_orders", "run3"),)
    assert card(store, SLACK).works_again == ("fct_orders in run run3",)
    assert card(store, SLACK).open == ()
    assert said(store, MAIL) == [("recovered", "fct_orders", False, "run/run1")]
    assert store.incidents("prod", "daily") == []
    tell(failing(4), store)
    assert said(store, SLACK)[-1] == ("failed", "fct_orders", True, "run/run4")


def test_a_place_that_heard_of_no_failure_hears_of_no_recovery(store):
    tell(failing(1), store, places={"webhook": PLACES["webhook"]})
    tell(a_run(2), store)
    assert said(store, SLACK) == said(store, MAIL) == []
    assert [event for event, *_ in said(store, HOOK)] == ["failed", "recovered"]


def test_a_place_that_is_new_hears_of_an_old_failure_aloud(store):
    tell(failing(1), store, places={"webhook": PLACES["webhook"]})
    tell(failing(2), store)
    assert said(store, SLACK) == [("failed", "fct_orders", True, "run/run2")]


def test_a_retry_of_the_same_run_changes_the_same_card(store):
    first = failing()
    tell(first, store)
    kept = first.kept()
    again = a_run()
    tell(again, store, earlier=kept)
    assert len([one for one in store.outbox() if one.entry.kind is EntryKind.CARD]) == 2
    assert card(store, SLACK).state is RunState.SUCCESS
    assert card(store, SLACK).works_again == ("fct_orders",)
    assert said(store, SLACK) == [
        ("failed", "fct_orders", True, "run/run1"),
        ("recovered", "fct_orders", False, "run/run1"),
    ]


def test_what_was_told_before_a_crash_is_told_once(store):
    told = failing()
    tell(told, store)
    before = [one.entry.key for one in store.outbox()]
    tell(failing(), store, earlier=told.kept())
    assert [one.entry.key for one in store.outbox()] == before
    assert store.incidents("prod", "daily")[0].in_a_row == 1


def test_what_nobody_told_before_a_crash_is_told_when_the_run_goes_on(store):
    told = failing()
    tell(a_run(), store, earlier=told.kept(), until=0)
    assert said(store, SLACK) == [("failed", "fct_orders", True, "run/run1")]
    assert notes(store, SLACK)[0][0].message.startswith("Binder Error")


def test_a_reminder_found_again_after_a_crash_is_the_same_message(store):
    spec = AlertsSpec(remind_after=60)
    tell(failing(1), store, spec)
    told = failing(2)
    tell(told, store, spec)
    before = len(store.outbox())
    tell(failing(2), store, AlertsSpec(), earlier=told.kept(), until=0)
    assert len(store.outbox()) == before


def test_hundreds_of_failures_are_one_card_and_a_thread_that_can_be_read(store):
    many = tuple(
        Node(id=f"model.shop.m{number}", kind=Kind.MODEL, name=f"m{number}") for number in range(90)
    )
    outcomes = {node.id: [WRONG] for node in many}
    told = a_run(1, outcomes, a_plan=plan(many, ()))
    tell(told, store, nodes=many, edges=())
    assert card(store, SLACK).failed == 90
    assert len(card(store, SLACK).failures) == len(said(store, SLACK)) == 20
    assert len(said(store, HOOK)) == 90


def test_retries_are_told_to_those_who_ask_for_them(store):
    told = a_run(1, {"step.ingest_rates": [LOST]})
    tell(told, store)
    assert store.outbox() == []
    rules = (AlertRule(events=frozenset({AlertEvent.RETRYING})),)
    tell(a_run(2, {"step.ingest_rates": [LOST]}), store, AlertsSpec(rules=rules))
    assert said(store, SLACK) == [("retrying", "ingest_rates", False, "run/run2")]
    alert = notes(store, SLACK)[0][0]
    assert (alert.attempt, alert.attempts) == (1, 3)
    assert alert.retry_at is not None


def test_whoever_wants_to_know_of_success_sees_the_run_go_on(store):
    rules = (AlertRule(events=frozenset({AlertEvent.SUCCEEDED})),)
    told = a_run()
    tell(told, store, AlertsSpec(rules=rules), until=1)
    assert card(store, SLACK).state is RunState.RUNNING
    tell(told, store, AlertsSpec(rules=rules))
    assert card(store, SLACK).state is RunState.SUCCESS
    assert card(store, SLACK).counts == {"success": 9}
    assert said(store, SLACK) == []  # the card says it
    assert said(store, MAIL) == [("succeeded", "", False, "")]


def test_a_missed_deadline_is_told_while_the_run_goes_on(store):
    telling = tell(a_run(), store, until=2)
    telling.late(Late(deadline=NOON, at=NOON + MINUTE, missed=True))
    keep(telling, store, NOON + MINUTE)
    assert said(store, SLACK) == [("deadline_missed", "", True, "run/run1")]
    assert card(store, SLACK).notes == ("missed its deadline, 2026-03-01 12:00 UTC",)
    assert said(store, MAIL) == [("deadline_missed", "", True, "")]


def test_what_will_be_missed_is_told_with_what_costs_the_most(store):
    telling = tell(a_run(), store, until=2)
    risk = Late(
        node_id="model.shop.fct_orders",
        deadline=NOON + 2 * MINUTE,
        at=NOON,
        missed=False,
        expected=NOON + 5 * MINUTE,
        costliest="model.shop.stg_orders",
        costs=180,
    )
    for _ in range(2):  # as after a crash: what was found out is told again, and kept once
        telling.late(risk)
        keep(telling, store, NOON)
    assert said(store, SLACK) == [("deadline_at_risk", "fct_orders", True, "run/run1")]
    text = "model fct_orders will probably miss its deadline, 2026-03-01 12:02 UTC"
    assert card(store, SLACK).at_risk == card(store, SLACK).remarks == (text,)
    (note,) = [one for one in store.outbox() if "deadline" in one.entry.key][:1]
    alert = from_json(note.entry.body["alert"])
    assert alert.owner == "ana"
    assert alert.facts == (
        ("Deadline", "2026-03-01 12:02 UTC"),
        ("Expected end", "2026-03-01 12:05 UTC"),
        ("Costs the most", "model stg_orders, 3m 00s"),
    )
    telling.late(replace(risk, missed=True))
    telling.late(replace(risk, node_id="model.shop.gone"))
    keep(telling, store, NOON)
    assert card(store, SLACK).remarks == (
        "model fct_orders missed its deadline, 2026-03-01 12:02 UTC",
    )


def test_a_run_that_ends_in_time_after_all_says_no_more_of_its_deadline(store):
    telling = tell(a_run(), store, until=2)
    telling.late(Late(deadline=NOON, at=NOON, missed=False))
    keep(telling, store, NOON)
    assert card(store, SLACK).at_risk
    telling.ended(RunState.SUCCESS, NOON)
    keep(telling, store, NOON)
    assert card(store, SLACK).remarks == ()


def test_owners_and_rules_choose_the_places(store):
    spec = AlertsSpec(
        owners={"Ana": OwnerRoute(addresses={"slack": "#orders"}, mention=("U1",))},
        rules=(
            AlertRule(),
            AlertRule(events=frozenset({AlertEvent.FAILED}), to=("#incidents", "webhook")),
            AlertRule(pipelines=frozenset({"hourly"}), to=("#hourly",)),
        ),
    )
    tell(failing(), store, spec)
    places = {(one.entry.notifier, one.entry.address) for one in store.outbox()}
    assert places == {
        ("slack", "#orders"),
        ("slack", "#incidents"),
        ("email", "data@example.com"),
        ("webhook", ""),
    }
    assert notes(store, HOOK)[0][0].mention == ("U1",)


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({}, True),
        ({"events": {AlertEvent.FAILED, AlertEvent.RECOVERED}}, True),
        ({"events": {AlertEvent.STALE}}, False),
        ({"severities": {Severity.ERROR, Severity.WARNING}}, True),
        ({"severities": {Severity.WARNING}}, False),
        ({"pipelines": {"daily"}, "owners": {"ana"}}, True),
        ({"pipelines": {"daily"}, "owners": {"bob"}}, False),
        ({"events": {AlertEvent.FAILED}, "pipelines": {"hourly"}}, False),
    ],
)
def test_a_rule_is_about_what_all_its_keys_say(store, rule, fits):
    rule = AlertRule(**{key: frozenset(value) for key, value in rule.items()})
    tell(failing(), store, AlertsSpec(rules=(rule,)))
    assert len(said(store, HOOK)) == fits


def test_secrets_stay_at_home(store):
    outcome = replace(WRONG, message="login hunter2 failed")
    tell(failing(1, outcome), store, scrub=lambda text: text.replace("hunter2", "*****"))
    assert "hunter2" not in str(store.outbox())
    assert "*****" in notes(store, SLACK)[0][0].message


def test_a_broken_shop_as_the_other_views_tell_it(store):
    tell(broken_shop(), store)
    assert len(said(store, SLACK)) == 1
    assert notes(store, SLACK)[0][0].blocked == 3


ORDERS = Node(id="source.shop.raw.orders", kind=Kind.SOURCE, name="raw.orders", owner="ana")


def gated(number, status, state, **more):
    """A run whose source the gate leaves in a state."""
    gate = Gate(
        on_warn=OnStale.WARN,
        on_error={State.SKIPPED: OnStale.SKIP, State.FAILED: OnStale.FAIL}.get(state, OnStale.WARN),
    )
    found = {"pass": State.SUCCESS, "warn": State.WARN}.get(status, State.FAILED)
    outcome = Outcome(
        state=found,
        message="source raw.orders is stale: 31 h, allowed 24 h",
        failure_class=FailureClass.DATA if found is State.FAILED else None,
        details={"source": {"status": status}, BEYOND: "31 h, allowed 24 h"},
    )
    policy = Policy(retry=Retry.times(0), slots={THREADS: 1}, gate=gate)
    return a_run(
        number,
        {ORDERS.id: [outcome]},
        a_plan=plan((ORDERS, *SHOP), EDGES, policies={ORDERS.id: policy}),
        **more,
    )


@pytest.mark.parametrize(
    ("status", "state", "events", "severity"),
    [
        ("pass", State.SUCCESS, [], None),
        ("warn", State.WARN, ["stale"], "warning"),
        ("error", State.WARN, ["stale"], "error"),
        ("error", State.SKIPPED, ["stale"], "error"),
        ("runtime error", State.SKIPPED, ["stale"], "error"),
        ("error", State.FAILED, ["failed"], "error"),  # who is told of that needs nothing more
    ],
)
def test_a_gate_that_finds_a_stale_source_says_so(store, status, state, events, severity):
    told = gated(1, status, state)
    assert told.run.states[ORDERS.id] is state
    tell(told, store, nodes=(ORDERS, *SHOP, KPIS))
    found = [alert for alert, _ in notes(store, SLACK) if alert.name == "raw.orders"]
    assert [alert.event.value for alert in found] == events
    assert [alert.severity.value for alert in found] == [severity] * len(events)
    if events == ["stale"]:
        assert found[0].facts == (("Age", "31 h, allowed 24 h"),)  # the headline says what
        assert found[0].owner == "ana"
        assert card(store, SLACK).notes == ("source raw.orders is stale: 31 h, allowed 24 h",)


def test_a_source_that_stays_stale_is_told_once_until_it_is_fresh(store):
    for number, status in enumerate(["error", "error", "pass", "error"], start=1):
        tell(gated(number, status, State.SKIPPED), store, nodes=(ORDERS, *SHOP, KPIS))
    for place in (HOOK, MAIL, SLACK):
        told = [(alert.event.value, alert.run_id) for alert, _ in notes(store, place)]
        assert told == [("stale", "run1"), ("recovered", "run3"), ("stale", "run4")]


def test_a_late_source_that_becomes_stale_is_told_again(store):
    for number, status in enumerate(["warn", "warn", "error"], start=1):
        tell(gated(number, status, State.SKIPPED), store, nodes=(ORDERS, *SHOP, KPIS))
    told = [(alert.severity.value, alert.run_id) for alert, _ in notes(store, HOOK)]
    assert told == [("warning", "run1"), ("error", "run3")]


def test_whoever_is_not_told_of_failures_is_told_that_the_source_is_stale(store):
    spec = AlertsSpec(
        rules=(
            AlertRule(events=frozenset({AlertEvent.STALE})),
            AlertRule(events=frozenset({AlertEvent.FAILED}), to=("webhook",)),
        )
    )
    tell(gated(1, "error", State.FAILED), store, spec, nodes=(ORDERS, *SHOP, KPIS))
    assert [alert.event.value for alert, _ in notes(store, SLACK)] == ["stale"]
    assert [alert.event.value for alert, _ in notes(store, HOOK)] == ["failed"]


@pytest.mark.parametrize(
    ("spec", "target", "heard"),
    [
        # nothing is said of targets: all but those that are for trying
        (AlertsSpec(), "prod", True),
        (AlertsSpec(), "default", True),
        (AlertsSpec(), "device", True),
        (AlertsSpec(), "dev", False),
        (AlertsSpec(), "DEV_ana", False),
        (AlertsSpec(), "pr-412", False),
        (AlertsSpec(), "ci", False),
        # what is said counts
        (AlertsSpec(targets=frozenset({"dev"})), "dev", True),
        (AlertsSpec(targets=frozenset({"prod", "eu-*"})), "eu-west", True),
        (AlertsSpec(targets=frozenset({"prod"})), "staging", False),
        (AlertsSpec(targets=frozenset({"*"})), "dev", True),
        # of a rule as well, and of both where both are there
        (AlertsSpec(rules=(AlertRule(targets=frozenset({"dev*"})),)), "dev_ana", True),
        (AlertsSpec(rules=(AlertRule(targets=frozenset({"prod"})),)), "staging", False),
        (
            AlertsSpec(targets=frozenset({"prod"}), rules=(AlertRule(targets=frozenset({"dev"})),)),
            "dev",
            False,
        ),
    ],
)
def test_nobody_is_told_of_a_target_for_trying(spec, target, heard):
    found = destinations(an_alert(target=target), spec, {"webhook": ""})
    assert bool(found) is heard
    assert wanted(AlertEvent.FAILED, spec, "daily", target) is heard
    assert (spec.silence(target) == "") is heard


def test_why_nobody_is_told_and_what_to_do():
    assert AlertsSpec().silence("dev") == (
        "alerts are off on target dev, whose name says that it is not production; write `targets: [dev]`"
        " under `alerts` in dbtorch.yml to get its alerts, or `targets: [prod]` to say which ones"
        " count"
    )
    assert "which `alerts` in dbtorch.yml does not name" in AlertsSpec(
        targets=frozenset({"prod"})
    ).silence("staging")


def test_a_card_of_an_older_dbtorch_is_read():
    old = {**card_to_json(a_card()), "recovered": ["fct_orders", "fct_kpis in run run3"]}
    del old["at_risk"]
    read = card_from_json(old)
    assert read.recovered == (("fct_orders", ""), ("fct_kpis", "run3"))
    assert read.works_again == ("fct_orders", "fct_kpis in run run3")
    assert card_from_json(json.loads(json.dumps(card_to_json(read)))) == read
