"""When a run will be over: what is left of it, the pace of the day, pools, retries."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from itertools import pairwise

import pytest

from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.model.state import State
from dbtorch.core.plan import THREADS, Plan, with_session
from dbtorch.core.run.forecast import Forecast, Outlook, Usual
from tests.days import days, pipelines
from tests.unit.story import NOON

CHAIN = (("a", "b"), ("b", "c"))


def a_plan(ids="abc", edges=CHAIN, *, threads=2, slots=None, pools=None):
    nodes = [Node(id=id, kind=Kind.MODEL, name=id) for id in ids]
    policies = {id: Policy(slots={THREADS: 1, **(slots or {}).get(id, {})}) for id in ids}
    return Plan(
        graph=Graph(nodes, edges), policies=policies, pools={THREADS: threads, **(pools or {})}
    )


def always(seconds, ids="abc"):
    return {id: (float(seconds),) * 10 for id in ids}


def change(id, state, at=0.0, **more):
    before = State.RUNNING if state.final else State.PENDING
    outcome = Outcome(state=state) if state.final else None
    return Changed(
        node_id=id, attempt=1, before=before, state=state, at=NOON + timedelta(seconds=at),
        outcome=outcome, **more,
    )  # fmt: skip


def expected(forecast, at=0.0, id=""):
    return forecast.outlook(NOON + timedelta(seconds=at), [id])[id].expected


def ran(id, start, end):
    return [change(id, State.RUNNING, start), change(id, State.SUCCESS, end)]


@pytest.mark.parametrize(
    ("plan", "seconds"),
    [
        (a_plan(), 300),  # one after the other
        (a_plan(edges=()), 200),  # three for two threads
        (a_plan(edges=(), threads=3), 100),
        # a pool of one, though there are threads
        (a_plan(edges=(), threads=3, slots={id: {"w": 1} for id in "abc"}, pools={"w": 1}), 300),
        # who wants all of a pool waits for it, and keeps it from those behind
        (a_plan("ab", (), threads=2, slots={"a": {"w": 9}, "b": {"w": 1}}, pools={"w": 2}), 200),
    ],
)
def test_what_is_left_is_played_through_with_the_slots_there_are(plan, seconds):
    found = expected(Forecast(plan, always(100)))
    assert found == pytest.approx(seconds, rel=0.15)


def test_what_runs_counts_with_the_time_it_has_had():
    forecast = Forecast(a_plan(), always(100))
    forecast.note([change("a", State.RUNNING)])
    assert expected(forecast, at=90) == pytest.approx(215, rel=0.15)
    assert expected(forecast, at=90, id="a") < 60
    forecast.note([change("a", State.SUCCESS, 100), change("b", State.QUEUED, 100)])
    assert expected(forecast, at=100) == pytest.approx(200, rel=0.15)
    assert forecast.is_over("a")
    assert forecast.outlook(NOON, ["a", "gone"]) == {}


def test_a_retry_counts_from_when_it_is_due():
    forecast = Forecast(a_plan("a", ()), always(100))
    again = NOON + timedelta(seconds=600)
    forecast.note([change("a", State.RUNNING), change("a", State.UP_FOR_RETRY, retry_at=again)])
    assert expected(forecast) == pytest.approx(700, rel=0.1)


def test_what_an_earlier_stretch_left_is_over():
    done = {"a": State.SUCCESS, "b": State.SUCCESS, "c": State.PENDING}
    assert expected(Forecast(a_plan(), always(100), done)) == pytest.approx(100, rel=0.15)


def test_a_slow_day_is_noticed_and_single_outliers_are_not():
    ids = [f"m{place}" for place in range(40)]
    chain = list(pairwise(ids))
    slow, odd = (Forecast(a_plan(ids, chain), always(100, ids)) for _ in range(2))
    for place, id in enumerate(ids[:20]):
        slow.note(ran(id, place * 200, (place + 1) * 200))
        took = 1000 if place == 7 else 100
        odd.note(ran(id, place * 1000, place * 1000 + took))
    assert expected(slow, at=4000) == pytest.approx(4000, rel=0.15)
    assert expected(odd, at=4000) == pytest.approx(2000, rel=0.25)


def test_past_days_on_which_all_was_slow_say_little():
    steady = Usual.of([100.0] * 8 + [500.0] * 2)
    assert math.exp(steady.middle) == pytest.approx(100)
    assert steady.spread < 0.3
    assert Usual.of([50.0, 100.0, 200.0] * 3).spread > steady.spread
    assert Usual.of([100.0]).spread > Usual.of([100.0] * 10).spread
    assert not Usual.of([]).known


def test_nothing_is_said_where_history_knows_little():
    assert Forecast(a_plan(), {}).outlook(NOON, [""]) == {}
    assert Forecast(a_plan(), always(100, "a")).outlook(NOON, [""]) == {}
    assert Forecast(a_plan(), always(100, "ab")).outlook(NOON, [""]) != {}


def test_the_node_that_costs_the_most_is_one_that_holds_the_end_up():
    seconds = {"a": (100.0,) * 5, "b": (600.0,) * 5, "c": (100.0,) * 5, "big": (650.0,) * 5}
    forecast = Forecast(a_plan(["a", "b", "c", "big"]), seconds)
    found = forecast.outlook(NOON, ["", "a"])
    costliest, costs = found[""].costliest()
    assert (costliest, costs) == ("b", pytest.approx(600, rel=0.5))
    assert found["a"].costliest()[0] == "a"


def test_the_ends_of_the_session_take_their_time_too():
    nodes = [Node(id="a", kind=Kind.MODEL, name="a")]
    graph, policies = with_session(
        nodes, [], frozenset("a"), {"a": Policy(slots={THREADS: 1})}, retry=Retry.times(0)
    )
    ends = {"session.open": (50.0,) * 9, "session.close": (50.0,) * 9}
    plan = Plan(graph=graph, policies=policies, pools={THREADS: 1})
    outlook = Forecast(plan, {"a": (100.0,) * 9, **ends}).outlook(NOON, [""])[""]
    assert outlook.expected == pytest.approx(200, rel=0.2)
    assert outlook.costliest()[0] == "a"


@pytest.mark.parametrize(
    ("left", "least", "most"),
    [
        (0, 1, 1),
        (1, 0.999, 1),  # no time is left for what has not ended
        (100, 0.4, 0.6),
        (1000, 0, 0.001),
    ],
)
def test_a_chance_is_certain_at_both_ends(left, least, most):
    outlook = Outlook((60.0, 80.0, 90.0, 100.0, 110.0, 125.0, 160.0))
    assert least <= outlook.chance_after(left) <= most


def test_what_hangs_is_not_expected_back_at_any_moment():
    forecast = Forecast(a_plan("a", ()), always(60, "a"))
    forecast.note([change("a", State.RUNNING)])
    outlook = forecast.outlook(NOON + timedelta(seconds=3600), [""])[""]
    assert outlook.expected > 600
    assert outlook.chance_after(60) >= 0.95


def test_the_same_question_gets_the_same_answer():
    forecast = Forecast(a_plan(), always(100))
    assert forecast.outlook(NOON, [""]) == forecast.outlook(NOON, [""])


def test_thousands_of_nodes_are_no_burden():
    ids = [f"m{place}" for place in range(2000)]
    edges = [(ids[place // 2], id) for place, id in enumerate(ids) if place]
    forecast = Forecast(a_plan(ids, edges, threads=8), always(10, ids))
    before = time.process_time()
    assert expected(forecast) > 2000
    assert time.process_time() - before < 0.5  # some 0.03 s, as benchmarks/forecast.py measures


def test_misses_are_foreseen_and_few_alarms_are_false():
    told = [day for pipeline in pipelines(20260301, 6, seconds=30) for day in days(pipeline, 8)]
    missed = [day for day in told if day.missed is not None]
    assert len(missed) >= 8
    assert sum(day.caught for day in missed) >= 0.95 * len(missed)
    assert sum(day.false for day in told) <= 0.05 * (len(told) - len(missed))
