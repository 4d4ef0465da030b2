"""Whatever dbt makes of its batches: the run's rules hold (a Hypothesis state machine)."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from dbtorch.core.model.events import Ended, Finished, Outcome, Started
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.policy import Breaker, OnFailure, Policy, Retry, Trigger
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import STEPS, THREADS, Plan, with_session
from tests.unit.machine import SUCCESS, AnyRun

OUTCOMES = [
    SUCCESS,
    Outcome(state=State.WARN),
    Outcome(state=State.FAILED, failure_class=FailureClass.TRANSIENT, innocent=True),
    *(
        Outcome(state=State.FAILED, failure_class=found)
        for found in (FailureClass.TRANSIENT, FailureClass.DATA, FailureClass.UNKNOWN)
    ),
]

KINDS = [*[Kind.MODEL] * 4, Kind.SOURCE]

LEFT_OUT = Outcome(state=State.UPSTREAM_FAILED, message="skipped by dbt")


class Batches(AnyRun):
    @initialize(
        size=st.integers(1, 14),
        data=st.data(),
        batches=st.integers(1, 4),
        threads=st.integers(1, 6),
        fail_fast=st.booleans(),
        resumed=st.booleans(),
        breaker=st.sampled_from([None, Breaker(failures=2, window=30.0, pause=10.0)]),
    )
    def plan(self, size, data, batches, threads, fail_fast, resumed, breaker):
        ids = [f"n{i}" for i in range(size)]
        pairs = [(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :]]
        edges = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
        on_engine = frozenset(id for id in ids if data.draw(st.integers(0, 3)))
        policies = {
            id: Policy(
                retry=Retry.times(data.draw(st.integers(0, 2)), delay=10),
                timeout=data.draw(st.sampled_from([None, None, 15.0])),
                on_failure=data.draw(st.sampled_from(OnFailure)),
                slots={THREADS: 1}
                if id in on_engine
                else {STEPS: 1, THREADS: data.draw(st.sampled_from([0, 1, threads]))},
            )
            for id in ids
        }
        nodes = [
            Node(
                id=id,
                kind=data.draw(st.sampled_from(KINDS)) if id in on_engine else Kind.STEP,
                name=id,
                splits=data.draw(st.integers(0, 5)) == 0,
            )
            for id in ids
        ]
        graph, policies = with_session(nodes, edges, on_engine, policies, retry=Retry.times(1))
        apart = frozenset(id for id in on_engine if data.draw(st.integers(0, 5)) == 0)
        plan = Plan(
            graph=graph,
            policies=policies,
            pools={THREADS: threads, STEPS: 2},
            fail_fast=fail_fast,
            breaker=breaker,
            batches=batches,
            apart=apart,
        )
        self.begin_run(plan, data, resumed=resumed)
        self.steps = []
        self.open = {}  # batch -> what dbt has not reported, in its order
        self.bad = {}  # batch -> what did not end well in it
        self.attempts = dict(self.run.attempts)

    def note(self, changes):
        for change in changes:
            id = change.node_id
            assert id not in self.ended, "a node ended twice"
            if change.state.final:
                self.ended[id] = change.state
            if change.state is State.QUEUED:
                self.attempts[id] += 1
                assert change.attempt == self.attempts[id]
            if change.before.active and change.state is State.PENDING:
                self.attempts[id] -= 1
                assert change.attempt == self.attempts[id], "an attempt that was none counts"

    def passed(self, id):
        state = self.run.states[id]
        forgiven = self.plan.policy(id).on_failure is OnFailure.CONTINUE
        return state.ok or (forgiven and state is State.FAILED)

    def check(self, batch):
        """A batch is closed: what is before it has passed, or is in it and comes earlier."""
        ids = [attempt.node_id for attempt in batch.attempts]
        for place, id in enumerate(ids):
            for parent in self.plan.graph.parents(id):
                all_done = self.plan.policy(id).trigger is Trigger.ALL_DONE
                assert parent in ids[:place] or self.passed(parent) or all_done
        kinds = {self.plan.graph.nodes[id].kind for id in ids}
        assert len(ids) == 1 or kinds in ({Kind.MODEL}, {Kind.SOURCE})
        assert batch.threads is None or 1 <= batch.threads < self.plan.pools[THREADS]
        assert len(ids) == 1 or self.plan.apart.isdisjoint(ids)

    @rule()
    def start(self):
        pause = self.run.pause
        due = self.run.due(self.now)
        for batch in due.batches:
            self.check(batch)
            first = batch.attempts[0].node_id
            if STEPS in self.plan.policy(first).slots:
                self.steps.append(batch.attempts[0])
                continue
            if self.plan.graph.nodes[first].kind is Kind.SESSION:
                assert not self.open, "dbt was still at work"
            self.open[batch] = list(batch.attempts)
            self.bad[batch] = set()
            closing = self.plan.policy(first).trigger is Trigger.ALL_DONE
            assert pause is None or closing or len(batch.attempts) == 1
        self.note(due.changes)

    @precondition(lambda self: self.steps)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def end_step(self, data, outcome):
        attempt = data.draw(st.sampled_from(self.steps))
        self.steps.remove(attempt)
        self.note(self.run.record(Finished(attempt, outcome), self.now))

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), seen=st.booleans())
    def report(self, data, outcome, seen):
        batch = data.draw(st.sampled_from([one for one, left in self.open.items() if left]))
        attempt = self.open[batch].pop(0)
        parents = set(self.plan.graph.parents(attempt.node_id))
        if parents & self.bad[batch]:
            outcome = LEFT_OUT
        if not outcome.state.ok:
            self.bad[batch].add(attempt.node_id)
        if seen:
            self.note(self.run.record(Started(attempt), self.now))
        self.note(self.run.record(Finished(attempt, outcome), self.now))

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data())
    def begin(self, data):
        batch = data.draw(st.sampled_from([one for one, left in self.open.items() if left]))
        self.note(self.run.record(Started(self.open[batch][0]), self.now))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def exit(self, data):
        """Dbt is over, or dies."""
        batch = data.draw(st.sampled_from(list(self.open)))
        del self.open[batch]
        self.note(self.run.record(Ended(batch, "dbt exited with 137"), self.now))
        for attempt in batch.attempts:
            again = self.run.attempts[attempt.node_id] > attempt.number  # in another batch by now
            assert again or not self.run.states[attempt.node_id].active

    @invariant()
    def limits_hold(self):
        if hasattr(self, "run"):
            assert len(self.open) <= self.plan.batches
            beside = [self.plan.policy(step.node_id).slots[THREADS] for step in self.steps]
            at_work = [self.at_work(batch) for batch in self.open]
            if self.plan.batches == 1:
                assert not self.open or not any(beside)
            else:
                assert sum(beside) + sum(at_work) <= self.plan.pools[THREADS]

    def at_work(self, batch):
        """Connections that dbt may use for a batch now, and one as long as it lives."""
        left = {attempt.node_id for attempt in self.open[batch]}
        threads = batch.threads or self.plan.pools[THREADS]
        if any(self.plan.graph.nodes[id].splits for id in left):
            return threads
        can = [id for id in left if left.isdisjoint(self.plan.graph.parents(id))]
        return min(threads, max(1, len(can)))

    def teardown(self):
        """However it stood: from here on everything succeeds, and the run ends."""
        if not hasattr(self, "run"):
            return
        for _ in range(200):
            if self.run.finished:
                break
            self.now += timedelta(seconds=60)
            self.start()
            for attempt in self.steps:
                self.note(self.run.record(Finished(attempt, SUCCESS), self.now))
            self.steps.clear()
            for batch, left in list(self.open.items()):
                for attempt in left:
                    outcome = SUCCESS
                    if self.bad[batch] & set(self.plan.graph.parents(attempt.node_id)):
                        outcome = LEFT_OUT
                        self.bad[batch].add(attempt.node_id)
                    self.note(self.run.record(Finished(attempt, outcome), self.now))
                self.note(self.run.record(Ended(batch, "over"), self.now))
            self.open.clear()
        assert self.run.finished, "the run never ends"
        assert set(self.ended) == set(self.plan.graph.nodes), "a node was lost"
        for batch in list(self.open):
            self.run.record(Ended(batch, "over"), self.now)
        assert self.run.idle


Batches.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_the_rules_hold = Batches.TestCase
