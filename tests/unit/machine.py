"""What may happen to any run at any time, for the Hypothesis state machines of runs."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from dbtorch.core.model.events import Attempt, Finished, Outcome
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import State
from dbtorch.core.run.machine import PreviousState, Run

SUCCESS = Outcome(state=State.SUCCESS)

#: How an earlier execution may have left a node.
LEFT = [
    PreviousState(State.SUCCESS, 1),
    PreviousState(State.FAILED, 2),
    PreviousState(State.UPSTREAM_FAILED, 0),
]


class AnyRun(RuleBasedStateMachine):
    """A run that time passes for, and that people interfere with."""

    def begin_run(self, plan, data, *, resumed):
        """Take up a plan, fresh or as something left it."""
        ids = [id for id in plan.graph.nodes if not id.startswith("session.")]
        self.plan = plan
        prior = {id: data.draw(st.sampled_from(LEFT)) for id in ids} if resumed else {}
        self.run = Run(plan, random=lambda: data.draw(st.floats(0, 0.99)), prior=prior)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.ended = {id: state for id, state in self.run.states.items() if state.final}

    def note(self, changes):
        """Hold what changed against the rules."""
        raise NotImplementedError

    @rule(data=st.data())
    def hear_an_echo(self, data):
        """An answer about an attempt nobody waits for."""
        id = data.draw(st.sampled_from(list(self.plan.graph.nodes)))
        stale = Attempt(id, self.run.attempts[id] + 1)
        assert self.run.record(Finished(stale, SUCCESS), self.now) == []

    @rule(seconds=st.sampled_from([0, 1, 20]))
    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: not self.run.cancelled)
    @rule()
    def cancel(self):
        self.note(self.run.cancel(Reason(ReasonKind.RUN_CANCELLED, text="enough"), self.now))

    @rule(data=st.data())
    def cancel_node(self, data):
        id = data.draw(st.sampled_from(list(self.plan.graph.nodes)))
        self.note(
            self.run.cancel_node(id, Reason(ReasonKind.NODE_CANCELLED, text="enough"), self.now)
        )
