"""What every store promises about numbers that are kept from run to run."""

from dbtorch.app.check_planning import earlier
from dbtorch.core.checks.relation_checks import (
    CheckSeverity,
    History,
    RelationChecks,
    RowCountChange,
    SameSchema,
)
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.measure import LAST, Measure, Measured, Rows
from dbtorch.core.model.state import State
from tests.stores import a_node, a_run, after, an_attempt, change

MART = "model.mart"
CHECK = f"check.{MART}"
HOUR = 3600


def built(store, number, measures, *, node=MART, state=State.SUCCESS, mart="table", **more):
    """A run, an hour after the one before, in which an attempt ended with these measures."""
    run_id = f"r{number}"
    nodes = [a_node(MART, materialized=mart), a_node(CHECK, Kind.CHECK)]
    store.begin(a_run(run_id, started_at=after(number * HOUR), **more), nodes)
    store.record(
        run_id, an_attempt(node, Outcome(state=state, measures=measures), start=number * HOUR)
    )


def looked(store, number, rows, columns, state=State.SUCCESS):
    measures = (
        Measure(name="row_count", number=rows),
        Measure(name="schema", number=len(columns), detail=[[name, "text"] for name in columns]),
    )
    built(store, number, measures, node=CHECK, state=state)


def wrote(store, number, affected=None, count=None, **more):
    said = {"rows_affected": affected, "row_count": count}
    measures = [Measure(name=name, number=n) for name, n in said.items() if n is not None]
    built(store, number, tuple(measures), **more)


def test_a_series_comes_back_newest_first(store):
    detail = {"ä": ["☃", None]}
    built(store, 1, (Measure(name="freshness(at)", number=0.5, detail=detail),), node=CHECK)
    built(store, 2, (Measure(name="freshness(at)", number=2**52 + 1),), node=CHECK)
    one = Measured(run_id="r1", measured_at=after(HOUR + 1), number=0.5, detail=detail)
    two = Measured(run_id="r2", measured_at=after(2 * HOUR + 1), number=2**52 + 1)
    assert store.measured("dev", MART, "freshness(at)", last=5) == [two, one]
    assert store.measured("dev", MART, "freshness(at)", last=1) == [two]
    assert store.measured("dev", MART, "freshness(at)", last=5, but="r2") == [one]
    for other in (("prod", MART), ("dev", CHECK)):
        assert store.measured(*other, "freshness(at)", last=5) == []
    assert store.measured("dev", MART, "row_count", last=5) == []


def test_that_nothing_is_new_for_an_incremental_model_is_not_unusual(store):
    for number, rows in enumerate((240, 240, 0, 5), start=1):
        wrote(store, number, rows, mart="incremental")
    assert store.rows("r3") == {MART: Rows(rows=0, usual=None)}
    assert store.rows("r4") == {MART: Rows(rows=5, usual=240)}
    wrote(store, 5, 0, mart="table")  # a table that was made anew, and is empty
    assert store.rows("r5")[MART].unusual


def test_of_several_attempts_in_a_run_the_last_counts(store):
    store.begin(a_run(), [a_node(MART)])
    for number, rows in ((1, 5), (2, 7)):
        outcome = Outcome(state=State.FAILED, measures=(Measure(name="row_count", number=rows),))
        to = State.UP_FOR_RETRY if number == 1 else State.SUCCESS
        attempt = an_attempt(MART, outcome, number=number, start=number, to=to)
        store.record("r1", attempt)
    assert [one.number for one in store.measured("dev", MART, "row_count", last=5)] == [7]


def test_checks_compare_with_what_other_runs_found(store):
    looked(store, 1, 10, ["a"])
    looked(store, 2, 30, ["a", "b"], State.WARN)
    looked(store, 3, 20, ["c"], State.FAILED)
    watch = RelationChecks(relation=MART, checks=(RowCountChange(percent=1, last=2), SameSchema()))
    # rows of a check that failed count, so that what lasts becomes usual; its columns do not
    assert earlier(store, watch, "dev") == History(
        rows=(20, 30, 10), columns=(("a", "text"), ("b", "text"))
    )
    assert earlier(store, watch, "dev", "r2").rows == (20, 10)
    assert earlier(store, watch, "shop", "prod") == History()
    only_schema = RelationChecks(relation=MART, checks=(SameSchema(severity=CheckSeverity.ERROR),))
    assert earlier(store, only_schema, "shop", "dev").rows == ()
    # somebody has looked at the drift, and says that it is fine
    store.record("r3", [change(CHECK, State.FAILED, State.SUCCESS, 4 * HOUR)])
    assert earlier(store, watch, "dev").columns == (("c", "text"),)


def test_rows_of_a_run_come_with_what_was_usual_until_then(store):
    assert store.rows("r1") == {}
    for number in range(LAST + 3):
        wrote(store, number, affected=100 + number)
    wrote(store, 50, affected=0, count=5_000)
    wrote(store, 51, affected=9)
    usual = 100 + 3 + LAST // 2  # of the last ones before it, and of none after it
    assert store.rows("r50") == {MART: Rows(rows=0, usual=usual)}
    assert store.rows("r50", MART) == {MART: Rows(rows=0, usual=usual)}
    assert store.rows("r50", "model.other") == {}
    assert store.rows("r0") == {MART: Rows(rows=100, usual=None)}


def test_where_nobody_knows_what_was_written_what_there_is_is_told(store):
    wrote(store, 1, count=40)
    wrote(store, 2, count=50)
    wrote(store, 3, count=99, target="prod")
    assert store.rows("r2") == {MART: Rows(rows=50, usual=40)}
    assert store.rows("r3") == {MART: Rows(rows=99, usual=None)}


def test_measures_of_one_turn_are_written_together(store):
    nodes = [a_node(f"model.m{n}") for n in range(300)]
    store.begin(a_run(), nodes)
    outcome = Outcome(state=State.SUCCESS, measures=(Measure(name="row_count", number=1),))
    store.record("r1", [one for node in nodes for one in an_attempt(node.id, outcome)])
    assert len(store.rows("r1")) == 300
