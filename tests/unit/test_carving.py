"""Parts of the graph that dbt gets together, and what becomes of them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from dbtorch.core.model.events import Attempt, Ended, Finished, Outcome, Started
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Breaker, OnFailure, Policy, Retry
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import STEPS, THREADS, Plan
from dbtorch.core.run.batching import lines_of
from dbtorch.core.run.machine import Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DELAY = 10.0

FINE = Outcome(state=State.SUCCESS)
LEFT_OUT = Outcome(state=State.UPSTREAM_FAILED, message="skipped by dbt")


def fails(found=FailureClass.TRANSIENT):
    return Outcome(state=State.FAILED, message="no", failure_class=found)


class Stage:
    """A run of ``a>b`` chains; nodes with a small letter are dbt's, the others steps."""

    def __init__(self, *chains, apart=(), batches=1, splits="", kinds=None, policies=None, **plan):
        edges = [pair for chain in chains for pair in pairwise(chain)]
        ids = dict.fromkeys("".join(chains))
        given = kinds or {}
        nodes = [
            Node(
                id=id,
                kind=given.get(id, Kind.STEP if id.isupper() else Kind.MODEL),
                name=id,
                splits=id in splits,
            )
            for id in ids
        ]
        retry = Retry(retries={FailureClass.TRANSIENT: 1}, delay=DELAY, jitter=False)
        default = {
            id: Policy(retry=retry, slots={STEPS: 1} if id.isupper() else {THREADS: 1})
            for id in ids
        }
        self.plan = Plan(
            graph=Graph(nodes, edges),
            policies={**default, **(policies or {})},
            pools={THREADS: 4, STEPS: 10},
            batches=batches,
            apart=frozenset(apart),
            **plan,
        )
        self.run = Run(self.plan, random=lambda: 0.5)
        self.now = NOW
        self.given = []

    def due(self):
        """What starts now, a text for each batch."""
        found = self.run.due(self.now)
        self.given += found.batches
        self.cancels = [attempt.node_id for attempt in found.cancels]
        return ["".join(a.node_id for a in batch.attempts) for batch in found.batches]

    def attempt(self, id):
        return Attempt(id, self.run.attempts[id])

    def starts(self, id):
        return self.run.record(Started(self.attempt(id)), self.now)

    def ends(self, *ids, outcome=FINE):
        return [
            change
            for id in ids
            for change in self.run.record(Finished(self.attempt(id), outcome), self.now)
        ]

    def over(self, place=-1, why="dbt exited with 137"):
        """A batch is over."""
        return self.run.record(Ended(self.given[place], why), self.now)

    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    def states(self):
        return {id: state.value for id, state in self.run.states.items()}


def test_everything_is_one_batch_where_nothing_holds_anything_back():
    stage = Stage("abc", "adc", "xy")
    assert stage.due() == ["axbdyc"]
    assert set(stage.states().values()) == {"queued"}
    assert stage.due() == []
    stage.ends(*"axbdyc")
    assert stage.run.finished
    assert not stage.run.idle  # dbt is still there
    stage.over()
    assert stage.run.idle


def test_what_waits_for_a_step_is_another_batch():
    stage = Stage("abc", "Sbd", "axX")
    assert stage.due() == ["ax", "S"]
    stage.ends("S")
    assert stage.due() == []  # one batch at a time
    stage.ends("a", "x")
    assert stage.due() == ["X"]
    stage.over(0)
    assert stage.due() == ["bcd"]


def test_batches_run_side_by_side_where_they_may():
    stage = Stage("Aa", "Bb", "Cc", batches=2)
    stage.due()
    stage.ends("A")
    assert stage.due() == ["a"]
    stage.ends("B")
    assert stage.due() == ["b"]
    stage.ends("C")
    assert stage.due() == []
    stage.ends("a")
    stage.over(-2)
    assert stage.due() == ["c"]


def test_a_batch_has_the_threads_it_can_use_and_others_have_the_rest():
    stage = Stage("ab", "cd", "Se", "Tf", batches=3)
    assert stage.due() == ["acbd", "S", "T"]
    assert stage.given[0].threads is None  # all of them, as it is alone
    stage.ends("S")
    assert stage.due() == ["e"]
    assert stage.given[-1].threads == 2  # two lines of nodes need no more than two
    stage.ends("T")
    assert stage.due() == ["f"]
    assert stage.given[-1].threads == 1


def test_what_comes_while_every_thread_is_taken_waits_for_the_first_that_is_free():
    stage = Stage("abcdef", "ghijkl", "mn", "op", "Sq", batches=2)
    assert stage.due()[0] == "agmobhnpcidjekfl"
    stage.ends("S", "a", "b", "m", "g", "h")
    assert stage.due() == []
    stage.ends("n")
    assert stage.due() == ["q"]
    assert stage.given[-1].threads == 1


def test_a_model_that_dbt_splits_may_take_every_thread_until_it_has_ended():
    stage = Stage("ab", "Sc", batches=2, splits="a")
    stage.due()
    stage.ends("S")
    assert stage.due() == []
    stage.ends("a")
    assert stage.due() == ["c"]
    assert stage.given[-1].threads == 3


def test_who_could_start_as_well_is_left_a_thread():
    stage = Stage("abc", "x", "y", "z", "u", "v", apart="uv", batches=3)
    assert stage.due() == ["axyzbc", "u"]
    assert [batch.threads for batch in stage.given] == [3, 1]


@pytest.mark.parametrize(
    ("chains", "count"),
    [
        (["abcd"], 1),
        (["ab", "ac"], 2),
        (["abe", "ace", "ade"], 3),  # a model, its three tests, and what they hold back
        (["a", "b", "c"], 3),
        (["abc", "dbe"], 2),
        (["ad", "bd", "cd", "de", "df", "dg", "ah"], 4),
    ],
)
def test_how_many_can_be_under_way_at_once(chains, count):
    graph = Stage(*chains).plan.graph
    assert len(set(lines_of(graph, graph.order()).values())) == count


def test_a_node_apart_is_a_batch_of_its_own():
    stage = Stage("abc", "axy", apart="b")
    assert stage.due() == ["axy"]
    stage.ends(*"axy")
    stage.over()
    assert stage.due() == ["b"]
    stage.ends("b")
    stage.over()
    assert stage.due() == ["c"]


def test_sources_are_checked_together_and_nothing_is_built_with_them():
    kinds = {"s": Kind.SOURCE, "t": Kind.SOURCE}
    stage = Stage("sa", "tb", "xy", kinds=kinds)
    batches = []
    for _ in range(3):
        batches += stage.due()
        stage.ends(*batches[-1])
        stage.over()
    assert batches == ["st", "xyab"] or batches == ["xy", "st", "ab"]


def test_a_retry_is_a_batch_with_what_was_left_out_because_of_it():
    stage = Stage("abc", "axc", "zy")
    assert stage.due() == ["azbxyc"]
    stage.ends("a", "z", "y", "x")
    (failed,) = stage.ends("b", outcome=fails())
    assert failed.state is State.UP_FOR_RETRY
    (waits,) = stage.ends("c", outcome=LEFT_OUT)
    assert (waits.state, waits.attempt, waits.outcome) == (State.PENDING, 0, None)
    stage.over()
    assert stage.due() == []
    stage.wait(DELAY)
    assert stage.due() == ["bc"]
    assert (stage.attempt("b").number, stage.attempt("c").number) == (2, 1)
    stage.ends("b", "c")
    stage.over()
    assert stage.run.state is RunState.SUCCESS


def test_a_model_that_goes_on_with_its_batches_goes_alone():
    """Its window is said in options, which would be about every model of that dbt."""
    stage = Stage("ab", "ac", "d", splits="ab")
    assert stage.due() == ["adbc"]
    stage.ends("d")
    stage.ends("a", outcome=fails())
    stage.ends("b", "c", outcome=LEFT_OUT)
    stage.over()
    stage.wait(DELAY)
    assert stage.due() == ["a"]
    stage.ends("a")
    stage.over()
    assert stage.due() == ["bc"]  # which were never begun


def test_what_was_left_out_follows_what_failed_for_good():
    stage = Stage("abcd")
    stage.due()
    stage.ends("a", outcome=fails(FailureClass.CODE))
    changes = stage.ends("b", outcome=LEFT_OUT)
    assert [(one.node_id, one.state.value, one.cause) for one in changes] == [
        ("b", "pending", ""),
        ("b", "upstream_failed", "a"),
    ]
    stage.ends("c", "d", outcome=LEFT_OUT)
    stage.over()
    assert stage.states() == {
        "a": "failed",
        "b": "upstream_failed",
        "c": "upstream_failed",
        "d": "upstream_failed",
    }
    assert stage.run.attempts == {"a": 1, "b": 0, "c": 0, "d": 0}


def test_those_after_a_failure_that_is_forgiven_run_after_all():
    stage = Stage("ab", policies={"a": Policy(slots={THREADS: 1}, on_failure=OnFailure.CONTINUE)})
    stage.due()
    stage.ends("a", outcome=fails(FailureClass.CODE))
    stage.ends("b", outcome=LEFT_OUT)
    stage.over()
    assert stage.due() == ["b"]
    stage.ends("b")
    assert stage.states() == {"a": "failed", "b": "success"}


def test_dbt_may_leave_out_what_nothing_stands_against():
    stage = Stage("a", "b")
    stage.due()
    (change,) = stage.ends("b", outcome=LEFT_OUT)
    assert change.state is State.UPSTREAM_FAILED  # as dbt says; asking again would be endless


def test_what_a_batch_did_not_report_is_lost_where_it_had_begun():
    stage = Stage("abc", "xyz")
    stage.due()
    stage.ends("a")
    stage.starts("b")
    changes = stage.over()
    assert {change.node_id: change.state.value for change in changes} == {
        "b": "up_for_retry",
        "c": "pending",
        "x": "pending",
        "y": "pending",
        "z": "pending",
    }
    (lost,) = [change for change in changes if change.outcome is not None]
    assert lost.outcome.lost
    assert lost.reason == Reason(ReasonKind.LOST, text="dbt exited with 137")
    assert stage.due() == ["xyz"]  # no try was lost


def test_a_batch_of_which_nothing_is_heard_costs_a_try():
    stage = Stage("ab", "x")
    for _ in range(2):
        assert stage.due() == ["axb"]
        stage.over()
        stage.wait(DELAY)
    assert stage.states() == {"a": "failed", "b": "upstream_failed", "x": "failed"}
    assert stage.run.finished
    assert stage.run.idle


def test_a_run_that_is_cancelled_leaves_nothing_behind():
    stage = Stage("abc", "xyz")
    stage.due()
    stage.ends("x")
    stage.starts("a")
    stage.run.cancel(Reason(ReasonKind.SIGNAL, text="SIGINT"), stage.now)
    stage.due()
    assert sorted(stage.cancels) == ["a", "b", "c", "y", "z"]
    stage.over()
    assert stage.run.finished
    assert stage.states() == {**dict.fromkeys("abcyz", "cancelled"), "x": "success"}


def test_a_time_out_costs_nobody_else_a_try():
    limited = Policy(slots={THREADS: 1}, timeout=5, retry=Retry.times(0))
    stage = Stage("ab", "xy", policies={"a": limited})
    stage.due()
    stage.starts("a")
    stage.starts("x")
    stage.wait(limited.timeout)
    stage.due()
    assert stage.cancels == ["a"]
    stage.ends("a", outcome=fails())
    stage.ends("x", outcome=Outcome(state=State.FAILED, message="interrupted", innocent=True))
    stage.over()
    assert stage.due() == ["xy"]
    assert stage.states()["a"] == "failed"
    assert stage.states()["b"] == "upstream_failed"


def test_a_node_left_out_has_its_whole_time_when_it_runs():
    limited = Policy(slots={THREADS: 1}, timeout=DELAY + 1, retry=Retry.times(0))
    stage = Stage("ab", policies={"b": limited})
    stage.due()
    stage.ends("a", outcome=fails())
    stage.starts("b")  # dbt 1.x says so of what it leaves out
    stage.ends("b", outcome=LEFT_OUT)
    stage.over()
    stage.wait(DELAY)
    assert stage.due() == ["ab"]
    stage.ends("a")
    stage.starts("b")
    stage.wait(DELAY)
    stage.due()
    assert stage.cancels == []


@pytest.mark.parametrize("batches", [1, 3])
def test_a_probe_is_one_node(batches):
    pause = 30
    stage = Stage("ax", "by", "c", batches=batches, breaker=Breaker(failures=2, pause=pause))
    assert stage.due() == ["abcxy"]
    stage.ends("a", "b", outcome=fails())
    stage.ends("x", "y", outcome=LEFT_OUT)
    stage.ends("c")
    stage.over()
    assert stage.run.pause is not None
    stage.wait(pause)
    assert stage.due() == ["a"]
    stage.ends("a")
    stage.over()
    assert stage.due() == ["bxy"]
    assert stage.run.pause is None


def test_batches_are_no_more_than_moments_of_release():
    """Every tenth node waits for a step of its own; the steps end in three groups."""
    chains = [f"{chr(97 + i)}{chr(107 + i)}" for i in range(10)]
    gates = [f"{chr(65 + i)}{chr(107 + i)}" for i in range(10)]
    stage = Stage(*chains, *gates)
    assert stage.due()[0] == "abcdefghij"
    stage.ends(*"abcdefghij")
    stage.over(0)
    dbts = 1
    for group in ("ABC", "DEFG", "HIJ"):
        stage.ends(*group)
        started = stage.due()
        dbts += len(started)
        stage.ends(*"".join(started))
        stage.over()
    assert stage.run.finished
    assert dbts == 4


def test_relations_are_checked_together_and_nothing_is_built_with_them():
    stage = Stage("mce", "nd", kinds={"c": Kind.CHECK, "d": Kind.CHECK})
    for together in ("mn", "cd", "e"):
        assert list(map(set, stage.due())) == [set(together)]
        stage.ends(*together)
        stage.over()
