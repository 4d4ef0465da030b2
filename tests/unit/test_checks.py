"""What is found of a relation, and what each check makes of it."""

from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.checks.relation_checks import (
    CheckSeverity,
    History,
    Newest,
    NullRate,
    RelationChecks,
    RowCount,
    RowCountChange,
    SameSchema,
    drift_told,
)
from dbtorch.core.model.events import Finished, Outcome, Started
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.measure import Found, Measure, Rows, check_id, median, relation_of, usually
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import Plan
from dbtorch.core.run.machine import Run
from dbtorch.core.settings import checks_over

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ERROR, WARN = CheckSeverity.ERROR, CheckSeverity.WARN

COLUMNS = (("id", "bigint"), ("name", "text"))
USUAL = History(rows=(12_050.0, 11_980.0, 12_003.0), columns=COLUMNS)


def seen(**found):
    return Outcome(state=State.SUCCESS, found=Found(**found))


def judged(*checks, history=USUAL, **found):
    watch = RelationChecks(relation="model.shop.fct_orders", checks=checks, history=history)
    return watch.judge(seen(**found), NOW)


@pytest.mark.parametrize(
    ("check", "found", "history", "state", "message"),
    [
        # rows within bounds, the bounds included
        (RowCount(min=1), {"rows": 1}, History(), "success", "row_count: 1 row"),
        (RowCount(max=9), {"rows": 9}, History(), "success", "row_count: 9 rows"),
        (RowCount(min=0), {"rows": 0}, History(), "success", "row_count: 0 rows"),
        # and beyond
        (
            RowCount(min=1),
            {"rows": 0},
            USUAL,
            "failed",
            "row_count: 0 rows, usually about 12,000; at least 1 expected",
        ),
        (
            RowCount(max=9, severity=WARN),
            {"rows": 1234},
            History(),
            "warn",
            "row_count: 1,234 rows; at most 9 expected",
        ),
        # nothing to compare with
        (
            RowCountChange(percent=50),
            {"rows": 0},
            History(),
            "success",
            "row_count_change: 0 rows; nothing to compare with yet",
        ),
        # within and beyond what is allowed, up and down; exactly so much is allowed
        (
            RowCountChange(percent=50),
            {"rows": 12_100},
            USUAL,
            "success",
            "row_count_change: 12,100 rows, usually about 12,000",
        ),
        (
            RowCountChange(percent=50),
            {"rows": 50},
            History(rows=(100.0,)),
            "success",
            "row_count_change: 50 rows, usually about 100",
        ),
        (
            RowCountChange(percent=50),
            {"rows": 49},
            History(rows=(100.0,)),
            "failed",
            "row_count_change: 49 rows, usually about 100; 51 % fewer, 50 % allowed",
        ),
        (
            RowCountChange(percent=50, severity=WARN),
            {"rows": 36_009},
            USUAL,
            "warn",
            "row_count_change: 36,009 rows, usually about 12,000; 200 % more, 50 % allowed",
        ),
        # only the last n runs count
        (
            RowCountChange(percent=10, last=1),
            {"rows": 100},
            History(rows=(100.0, 5.0, 5.0)),
            "success",
            "row_count_change: 100 rows, usually about 100",
        ),
        # of nothing, anything is infinitely more
        (
            RowCountChange(percent=50),
            {"rows": 5},
            History(rows=(0.0, 0.0)),
            "failed",
            "row_count_change: 5 rows, usually 0; 50 % allowed",
        ),
        (
            RowCountChange(percent=50),
            {"rows": 0},
            History(rows=(0.0, 0.0)),
            "success",
            "row_count_change: 0 rows, usually 0",
        ),
        # null rates
        (
            NullRate(column="email"),
            {"rows": 8, "nulls": {"email": 0}},
            USUAL,
            "success",
            "null_rate(email): 0 % of 8 rows null",
        ),
        (
            NullRate(column="email", max=0.125),
            {"rows": 8, "nulls": {"email": 1}},
            USUAL,
            "success",
            "null_rate(email): 12.5 % of 8 rows null",
        ),
        (
            NullRate(column="email", max=0.1),
            {"rows": 8, "nulls": {"email": 1}},
            USUAL,
            "failed",
            "null_rate(email): 12.5 % of 8 rows null (1); at most 10 % expected",
        ),
        # of no rows nobody knows
        (
            NullRate(column="email", severity=WARN),
            {"rows": 0, "nulls": {"email": 0}},
            USUAL,
            "warn",
            "null_rate(email): there are no rows; at most 0 % null expected",
        ),
        # ages
        (
            Newest(column="at", max_age=86_400),
            {"newest": {"at": NOW - 24 * HOUR}},
            USUAL,
            "success",
            "freshness(at): the newest value is 24 h old",
        ),
        (
            Newest(column="at", max_age=86_400),
            {"newest": {"at": NOW - 31 * HOUR}},
            USUAL,
            "failed",
            "freshness(at): the newest value is old: 31 h, allowed 24 h",
        ),
        (
            Newest(column="at", max_age=60),
            {"newest": {"at": NOW + HOUR}},
            USUAL,
            "success",
            "freshness(at): the newest value is 0 s old",
        ),
        (
            Newest(column="at", max_age=86_400, severity=WARN),
            {"newest": {"at": None}},
            USUAL,
            "warn",
            "freshness(at): there is no value; one within 24 h expected",
        ),
        # columns: the order is no matter, a drift warns unless it is to block
        (
            SameSchema(),
            {"columns": COLUMNS},
            History(),
            "success",
            "schema: 2 columns; nothing to compare with yet",
        ),
        (
            SameSchema(),
            {"columns": COLUMNS[::-1]},
            USUAL,
            "success",
            "schema: 2 columns, as before",
        ),
        (
            SameSchema(),
            {"columns": (("id", "text"), ("nom", "text"))},
            USUAL,
            "warn",
            "schema: removed: name; added: nom (text); retyped: id (from bigint to text)",
        ),
        (SameSchema(severity=ERROR), {"columns": COLUMNS[:1]}, USUAL, "failed", "schema: removed: name"),
        # what could not be looked up is failed, whatever the severity
        (
            NullRate(column="nope", severity=WARN),
            {"rows": 5, "errors": {"null_rate(nope)": "no such column"}},
            USUAL,
            "failed",
            "null_rate(nope): could not be evaluated: no such column",
        ),
        (
            RowCount(min=1, severity=WARN),
            {"errors": {"row_count": "no such table"}},
            USUAL,
            "failed",
            "row_count: could not be evaluated: no such table",
        ),
        (
            RowCountChange(percent=1, severity=WARN),
            {"errors": {"row_count": "no such table"}},
            History(),
            "failed",
            "row_count_change: could not be evaluated: no such table",
        ),
        (Newest(column="at", max_age=1), {}, USUAL, "failed", "freshness(at): could not be evaluated: no answer"),
        (SameSchema(), {}, History(), "failed", "schema: could not be evaluated: no answer"),
    ],
)  # fmt: skip
def test_a_check(check, found, history, state, message):
    outcome = judged(check, history=history, **found)
    assert (outcome.state.value, outcome.message) == (state, message)


def test_of_many_the_worst_counts_and_those_that_complain_are_told():
    checks = (RowCount(min=1), SameSchema(), NullRate(column="id", severity=ERROR))
    found = {"rows": 10, "nulls": {"id": 0}, "columns": COLUMNS[:1]}
    outcome = judged(*checks, **found)
    assert (outcome.state, outcome.failure_class) == (State.WARN, None)
    assert outcome.message == "schema: removed: name"

    outcome = judged(*checks, **{**found, "nulls": {"id": 5}})
    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.DATA)
    assert outcome.message.splitlines() == [
        "schema: removed: name",
        "null_rate(id): 50 % of 10 rows null (5); at most 0 % expected",
    ]
    assert [one["status"] for one in outcome.details["checks"]] == ["ok", "warn", "error"]


def test_all_is_well():
    outcome = judged(RowCount(min=1), SameSchema(), rows=10, columns=COLUMNS)
    assert outcome.state is State.SUCCESS
    assert (
        outcome.message == "row_count: 10 rows, usually about 12,000\nschema: 2 columns, as before"
    )


def test_the_class_of_what_could_not_be_looked_up_decides_about_retries():
    errors = {"null_rate(x)": "deadlock"}
    check = NullRate(column="x")
    lost = judged(check, rows=1, errors=errors, failure_class=FailureClass.TRANSIENT)
    assert lost.failure_class is FailureClass.TRANSIENT
    assert judged(check, rows=1, errors=errors).failure_class is FailureClass.UNKNOWN


def test_what_is_measured_is_kept_also_of_a_check_that_fails():
    outcome = judged(
        RowCount(min=100),
        NullRate(column="id"),
        Newest(column="at", max_age=60),
        Newest(column="never", max_age=60),
        SameSchema(),
        rows=4,
        nulls={"id": 1},
        newest={"at": NOW - HOUR, "never": None},
        columns=COLUMNS,
    )
    assert outcome.state is State.FAILED
    assert outcome.measures == (
        Measure(name="row_count", number=4),
        Measure(name="null_rate(id)", number=0.25),
        Measure(name="freshness(at)", number=3600, detail="2026-03-01T11:00:00+00:00"),
        Measure(name="schema", number=2, detail=[["id", "bigint"], ["name", "text"]]),
    )
    assert outcome.found is None  # nothing of it is kept twice


def test_an_attempt_that_failed_by_itself_is_not_judged():
    failed = Outcome(state=State.FAILED, message="connection lost")
    watch = RelationChecks(relation="x", checks=(RowCount(min=1),))
    assert watch.judge(failed, NOW) is failed


def test_only_what_is_needed_is_looked_up():
    def asks(*checks):
        return RelationChecks(relation="x", checks=checks).asks()

    assert asks(SameSchema()) == {"rows": False, "nulls": {}, "newest": {}, "columns": True}
    assert asks(NullRate(column="a")) == {
        "rows": True,
        "nulls": {"null_rate(a)": "a"},
        "newest": {},
        "columns": False,
    }
    assert asks(Newest(column="b", max_age=1))["newest"] == {"freshness(b)": "b"}
    assert asks(RowCountChange(percent=1))["rows"] is True


def test_a_long_drift_is_counted():
    before = tuple((f"c{n}", "text") for n in range(15))
    assert drift_told(before, ()).endswith("c8, c9 and 5 more")


def test_a_nearer_level_replaces_a_check_of_the_same_kind():
    base = {"row_count": (RowCount(min=1),), "schema": (SameSchema(),)}
    mine = {"row_count": (RowCount(min=5),), "schema": ()}
    assert checks_over(mine, base) == mine
    assert checks_over({"null_rate": ()}, base) == {**base, "null_rate": ()}
    assert checks_over(None, base) == base
    assert checks_over(mine, None) == mine
    assert checks_over(None, None) is None


@pytest.mark.parametrize(
    ("numbers", "middle"),
    [([], None), ([3], 3), ([9, 1], 5), ([7, 1, 100], 7), ([4, 1, 3, 2], 2.5)],
)
def test_median(numbers, middle):
    assert median(numbers) == middle


@pytest.mark.parametrize(
    ("usual", "told"),
    [
        (0, "usually 0"),
        (12, "usually 12"),
        (2.5, "usually about 2"),
        (100, "usually about 100"),
        (12_003, "usually about 12,000"),
        (1_987_654, "usually about 2,000,000"),
    ],
)
def test_what_is_usual_is_told_in_two_digits(usual, told):
    assert usually(usual) == told


@pytest.mark.parametrize(
    ("rows", "usual", "unusual"),
    [
        (0, None, False),  # nobody knows
        (0, 0, False),
        (0, 12_000, True),
        (5_999, 12_000, True),
        (6_000, 12_000, False),
        (24_000, 12_000, False),
        (24_001, 12_000, True),
        (1, 0, True),
    ],
)
def test_what_is_unusual(rows, usual, unusual):
    assert Rows(rows=rows, usual=usual).unusual is unusual


def test_the_node_that_checks_names_the_relation():
    assert relation_of(check_id("model.shop.a")) == "model.shop.a"
    assert relation_of("model.shop.a") == "model.shop.a"


# -------------------------------------------------------------------- in a run

CHECKS = {
    "check.orders": RelationChecks(relation="orders", checks=(RowCount(min=1),), history=USUAL)
}


def a_run(**policies):
    nodes = [
        Node(id="orders", kind=Kind.MODEL, name="orders"),
        Node(id="check.orders", kind=Kind.CHECK, name="orders"),
        Node(id="mart", kind=Kind.MODEL, name="mart"),
    ]
    edges = [("orders", "check.orders"), ("orders", "mart"), ("check.orders", "mart")]
    policy = Policy(retry=Retry(delay=0, jitter=False), **policies)
    plan = Plan(graph=Graph(nodes, edges), policies={n.id: policy for n in nodes}, checks=CHECKS)
    return Run(plan, random=lambda: 0.5)


def drive(run, *looks):
    """Run to the end; ``looks`` are what attempts of the check see."""
    waiting = list(looks)
    changes = []
    for _ in range(10):
        for batch in run.due(NOW).batches:
            (attempt,) = batch.attempts
            outcome = waiting.pop(0) if attempt.node_id == "check.orders" else seen()
            run.record(Started(attempt), NOW)
            changes += run.record(Finished(attempt, outcome), NOW)
    return [(change.node_id, change.state.value) for change in changes], changes


def test_a_check_that_complains_blocks_what_comes_behind():
    states, changes = drive(a_run(), seen(rows=0))
    assert states == [
        ("orders", "success"),
        ("check.orders", "failed"),
        ("mart", "upstream_failed"),
    ]
    assert changes[1].outcome.measures == (Measure(name="row_count", number=0),)
    assert str(changes[1].reason) == "row_count: 0 rows, usually about 12,000; at least 1 expected"


def test_a_look_that_may_work_a_second_time_is_tried_again():
    lost = Outcome(state=State.FAILED, failure_class=FailureClass.TRANSIENT, message="lost")
    states, _ = drive(a_run(), lost, seen(rows=3))
    assert states == [
        ("orders", "success"),
        ("check.orders", "up_for_retry"),
        ("check.orders", "success"),
        ("mart", "success"),
    ]
