"""Whatever happens in whatever order: the run's rules hold (a Hypothesis state machine)."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from dbtorch.core.model.events import Ended, Finished, Outcome, Started
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Breaker, OnFailure, Policy, Retry, Trigger
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, STEPS, THREADS, Plan, with_session
from tests.unit.machine import SUCCESS, AnyRun

OUTCOMES = [
    SUCCESS,
    Outcome(state=State.WARN),
    Outcome(state=State.SKIPPED, message="nothing new"),
    *(
        Outcome(state=State.FAILED, failure_class=found)
        for found in (FailureClass.TRANSIENT, FailureClass.DATA, FailureClass.UNKNOWN)
    ),
]


class RunMachine(AnyRun):
    @initialize(
        size=st.integers(1, 12),
        data=st.data(),
        threads=st.integers(1, 3),
        fail_fast=st.booleans(),
        session=st.booleans(),
        resumed=st.booleans(),
        breaker=st.sampled_from([None, Breaker(failures=2, window=30.0, pause=10.0)]),
    )
    def plan(self, size, data, threads, fail_fast, session, resumed, breaker):
        ids = [f"n{i}" for i in range(size)]
        pairs = [(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :]]
        edges = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
        on_engine = frozenset(id for id in ids if data.draw(st.booleans()))
        policies = {
            id: Policy(
                retry=Retry.times(data.draw(st.integers(0, 2)), delay=10),
                timeout=data.draw(st.sampled_from([None, 15.0])),
                on_failure=data.draw(st.sampled_from(OnFailure)),
                priority=data.draw(st.integers(-1, 1)),
                slots={THREADS: 1}
                if id in on_engine
                else {STEPS: 1, THREADS: data.draw(st.sampled_from([0, threads]))},
            )
            for id in ids
        }
        nodes = [
            Node(id=id, kind=Kind.MODEL if id in on_engine else Kind.STEP, name=id) for id in ids
        ]
        if session:
            graph, policies = with_session(nodes, edges, on_engine, policies, retry=Retry.times(1))
        else:
            graph = Graph(nodes, edges)
        plan = Plan(
            graph=graph,
            policies=policies,
            pools={THREADS: threads, STEPS: 2},
            fail_fast=fail_fast,
            breaker=breaker,
        )
        self.begin_run(plan, data, resumed=resumed)
        self.batches = {}
        self.failures = {}

    def note(self, changes):
        for change in changes:
            assert change.node_id not in self.ended, "a node ended twice"
            if change.state.final:
                self.ended[change.node_id] = change.state
            if change.state is State.QUEUED:
                self.check_start(change.node_id)
            if change.outcome is not None and change.outcome.state is State.FAILED:
                self.failures[change.node_id] = self.failures.get(change.node_id, 0) + 1

    def check_start(self, id):
        for parent in self.plan.graph.parents(id):
            state = self.run.states[parent]
            assert state.final, "a child started before its parent was done"
            if self.plan.policy(id).trigger is Trigger.ALL_SUCCESS:
                forgiven = self.plan.policy(parent).on_failure is OnFailure.CONTINUE
                goes_on = state.ok or (forgiven and state is State.FAILED)
                assert goes_on, "a child started after its parent had failed"

    def check_pause(self, pause, due):
        """While the circuit breaker is open only one dbt node starts, when its time has come."""
        starts = [attempt.node_id for batch in due.batches for attempt in batch.attempts]
        covered = [id for id in starts if STEPS not in self.plan.policy(id).slots]
        covered = [id for id in covered if id != SESSION_CLOSE]
        assert len(covered) <= (self.now >= pause.until and not pause.probe)

    @rule()
    def start(self):
        pause = self.run.pause
        due = self.run.due(self.now)
        if pause is not None:
            self.check_pause(pause, due)
        for batch in due.batches:
            self.batches[batch.attempts[0]] = batch
        self.note(due.changes)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), seen=st.booleans())
    def end(self, data, outcome, seen):
        attempt = data.draw(st.sampled_from(list(self.batches)))
        del self.batches[attempt]
        if seen:
            self.note(self.run.record(Started(attempt), self.now))
        self.note(self.run.record(Finished(attempt, outcome), self.now))

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def lose(self, data):
        attempt = data.draw(st.sampled_from(list(self.batches)))
        self.note(self.run.record(Ended(self.batches.pop(attempt), "the worker died"), self.now))

    @invariant()
    def limits_hold(self):
        if not hasattr(self, "run"):
            return
        for pool, size in self.plan.pools.items():
            used = sum(
                min(self.plan.policy(id).slots.get(pool, 0), size)
                for id, state in self.run.states.items()
                if state.active
            )
            assert used <= size, f"{pool} is overbooked"

    @invariant()
    def retries_hold(self):
        if not hasattr(self, "run"):
            return
        for id, failures in self.failures.items():
            allowed = max(self.plan.policy(id).retry.retries.values(), default=0)
            assert failures <= allowed + 1

    def teardown(self):
        """However it stood: from here on everything succeeds, and the run ends."""
        if not hasattr(self, "run"):
            return
        for _ in range(200):
            if self.run.finished:
                break
            self.now += timedelta(seconds=60)
            self.start()
            for attempt in list(self.batches):
                del self.batches[attempt]
                self.note(self.run.record(Finished(attempt, SUCCESS), self.now))
        assert self.run.finished, "the run never ends"
        assert set(self.ended) == set(self.plan.graph.nodes), "a node was lost"
        assert self.run.idle


RunMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_the_rules_hold = RunMachine.TestCase
