"""Checks that complain, as people are told of them."""

from dataclasses import replace

import pytest

from dbtorch.core.alerts.alert import AlertEvent, Severity, from_json, to_json
from dbtorch.core.alerts.routing import AlertRule, AlertsSpec
from dbtorch.core.alerts.text import headline
from dbtorch.core.checks.relation_checks import CheckSeverity, History, RelationChecks, RowCount
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.measure import Found, check_id
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.testing.store import MemoryStore
from tests.unit.story import EDGES, SHOP, plan
from tests.unit.test_alerts_telling import (
    HOOK,
    MAIL,
    SLACK,
    a_run,
    card,
    notes,
    said,
    tell,
)

ORDERS = "model.shop.fct_orders"
CHECK = Node(id=check_id(ORDERS), kind=Kind.CHECK, name="fct_orders", owner="ana")
NAME = "check of model fct_orders"
MESSAGE = "row_count: 0 rows, usually about 12,000; at least 1 expected"
EMPTY = Outcome(state=State.SUCCESS, found=Found(rows=0))
FULL = Outcome(state=State.SUCCESS, found=Found(rows=12_345))


@pytest.fixture
def store():
    return MemoryStore()


def looked(number, seen, severity=CheckSeverity.ERROR):
    """The run of a day that looks at the orders."""
    edges = [*EDGES, (ORDERS, CHECK.id), (CHECK.id, "model.shop.fct_kpis")]
    watch = RelationChecks(
        relation=ORDERS,
        checks=(RowCount(min=1, severity=severity),),
        history=History(rows=(12_003.0,)),
    )
    a_plan = replace(plan((*SHOP, CHECK), edges), checks={CHECK.id: watch})
    return a_run(number, {CHECK.id: [seen]}, a_plan=a_plan)


def test_a_check_that_blocks_says_everything_a_person_needs(store):
    tell(looked(1, EMPTY), store)
    ((alert, _),) = notes(store, SLACK)
    assert (alert.event, alert.severity) == ("check", Severity.ERROR)
    assert headline(alert) == "check of model fct_orders does not pass"
    assert (alert.kind, alert.name, alert.node_id) == ("check", NAME, CHECK.id)
    assert alert.message == MESSAGE
    assert alert.failure_class is FailureClass.DATA
    assert alert.owner == "ana"
    assert alert.blocked == 3  # what reads the orders, and not the checks and tests of it
    assert alert.blocked_names[0] == "weekly_kpis"
    assert alert.command == "dbtorch retry run1"
    assert from_json(to_json(alert)) == alert
    mine = card(store, SLACK)
    assert [failure.name for failure in mine.failures] == [NAME]
    assert mine.state is RunState.FAILED


def test_the_same_again_is_quiet_until_it_is_content(store):
    for number in (1, 2):
        tell(looked(number, EMPTY), store)
    tell(looked(3, FULL), store)
    assert said(store, SLACK) == [
        ("check", NAME, True, "run/run1"),
        ("check", NAME, False, "run/run1"),
        ("recovered", NAME, False, "run/run1"),
    ]
    assert headline(notes(store, SLACK)[1][0]).endswith(
        "does not pass, for the second run in a row"
    )
    assert [event for event, *_ in said(store, HOOK)] == ["check", "check", "recovered"]


def test_a_check_that_warns_is_told_and_fails_nothing(store):
    told = looked(1, EMPTY, CheckSeverity.WARN)
    tell(told, store)
    assert told.run.state is RunState.SUCCESS
    ((alert, _),) = notes(store, SLACK)
    assert (alert.event, alert.severity) == ("check", Severity.WARNING)
    assert (alert.message, alert.blocked, alert.command) == (MESSAGE, 0, "")
    mine = card(store, SLACK)
    assert (mine.failures, mine.state) == ((), RunState.SUCCESS)
    assert mine.notes == ("check of model fct_orders does not pass",)
    assert said(store, MAIL) == [("check", NAME, True, "")]
    assert said(store, HOOK) == [("check", NAME, True, "")]


def test_a_warning_that_lasts_stays_in_the_first_thread(store):
    for number in (1, 2, 3):
        tell(looked(number, EMPTY, CheckSeverity.WARN), store)
    assert said(store, SLACK) == [
        ("check", NAME, True, "run/run1"),
        ("check", NAME, False, "run/run1"),
        ("check", NAME, False, "run/run1"),
    ]
    assert len(said(store, MAIL)) == 1
    assert [loud for _, _, loud, _ in said(store, HOOK)] == [True, False, False]
    tell(looked(4, FULL), store)
    assert said(store, SLACK)[-1] == ("recovered", NAME, False, "run/run1")
    assert store.incidents("prod", "daily") == []


def test_what_was_told_before_a_crash_is_told_once(store):
    told = looked(1, EMPTY, CheckSeverity.WARN)
    tell(told, store)
    before = [one.entry.key for one in store.outbox()]
    tell(looked(1, FULL), store, earlier=told.kept(), until=0)
    assert [one.entry.key for one in store.outbox()] == before


def test_an_error_behind_a_warning_is_news(store):
    tell(looked(1, EMPTY, CheckSeverity.WARN), store)
    tell(looked(2, EMPTY), store)
    assert said(store, SLACK)[-1] == ("check", NAME, True, "run/run2")


@pytest.mark.parametrize(
    ("events", "severity", "told"),
    [
        # a check that blocks has failed; it is told as what it is
        ({AlertEvent.FAILED}, CheckSeverity.ERROR, ["check"]),
        ({AlertEvent.FAILED}, CheckSeverity.WARN, []),
        ({AlertEvent.CHECK}, CheckSeverity.ERROR, ["check"]),
        ({AlertEvent.CHECK}, CheckSeverity.WARN, ["check"]),
        ({AlertEvent.STALE, AlertEvent.RECOVERED}, CheckSeverity.ERROR, []),
    ],
)
def test_whoever_asks_for_failures_hears_of_checks_that_block(store, events, severity, told):
    spec = AlertsSpec(rules=(AlertRule(events=frozenset(events)),))
    tell(looked(1, EMPTY, severity), store, spec)
    for place in (SLACK, HOOK):
        assert [event for event, *_ in said(store, place)] == told


def test_a_test_that_fails_comes_with_the_rows_it_looked_at(store):
    failed = Outcome(state=State.FAILED, message="Got 3 results", failure_class=FailureClass.DATA)
    told = a_run(1, {"test.shop.unique_kpis.a1b2c3": [failed]})
    rows = {"model.shop.fct_kpis": "0 rows, usually about 12,000"}
    tell(told, store, rows=lambda node: rows.get(node, ""))
    ((alert, _),) = notes(store, SLACK)
    assert alert.facts == (("Rows of fct_kpis", "0 rows, usually about 12,000"),)
