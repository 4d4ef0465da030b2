"""The run state machine: told time and events, it answers batches and changes. Sans I/O."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from dbtorch.core.failures.message import brief
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Changed,
    Due,
    Ended,
    Event,
    Finished,
    Outcome,
    Started,
)
from dbtorch.core.model.graph import EVERY_TIME, Kind
from dbtorch.core.model.policy import OnFailure, Trigger
from dbtorch.core.model.reason import FAIL_FAST, NO_REASON, Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import BATCHES, THREADS, Plan
from dbtorch.core.run.breaker import CircuitBreaker, Pause
from dbtorch.core.run.cancelling import Stopping
from dbtorch.core.run.gates import Gates
from dbtorch.core.run.in_flight import InFlight
from dbtorch.core.run.openers import Openers
from dbtorch.core.run.slots import WAITING, Ready, Slots
from dbtorch.core.text import durations

if TYPE_CHECKING:  # most engines take node by node
    from dbtorch.core.run.batching import BatchKind


@dataclass(frozen=True, slots=True)
class PreviousState:
    """What an earlier execution of the same run left of a node."""

    state: State
    attempts: int
    stays: bool = False  # also where it is no success: another execution is to end otherwise


class Run:
    """One execution of a plan.

    The rules: a node starts only after its parents allow it, never takes more slots than its
    pools have, and ends exactly once.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        random: Callable[[], float],
        prior: Mapping[str, PreviousState] | None = None,
    ) -> None:
        """``random`` answers numbers in [0, 1); ``prior`` is what an earlier execution left."""
        graph = plan.graph
        self.plan = plan
        self.states: dict[str, State] = dict.fromkeys(graph.nodes, State.PENDING)
        self.attempts: dict[str, int] = dict.fromkeys(graph.nodes, 0)
        self._random = random
        self._failures: dict[str, Counter[FailureClass]] = {}
        self._first_start: dict[str, datetime] = {}
        self._circuit = CircuitBreaker(plan.breaker)
        self._stopping = Stopping()
        self.cancelled = False  # it was asked to stop
        self._waiting: set[str] = set()  # looked at once; they run, for everybody else
        self._called_off: set[str] = set()  # nodes that were cancelled one by one
        self.held = False  # it starts nothing more, and another plan goes on with it
        self.held_back = False  # nothing starts for now
        self._closing = False  # nothing is left but to close the session
        self._retries: list[tuple[datetime, str]] = []
        self._last_words: dict[str, Reason] = {}  # of the last failed attempt
        self._slots = Slots(plan.slots())
        self._in_flight = InFlight(self._slots)
        self._ready = Ready(plan, self.states)
        self._gates = Gates(plan)
        self._blocked_by: dict[str, str] = {}  # node -> the failed node that is to blame
        self._open_parents = {id: len(graph.parents(id)) for id in graph.nodes}
        self._openers = Openers(plan)
        self._open = len(graph)
        self._active = 0
        for id, before in (prior or {}).items():
            self._adopt(id, before)
        self._openers.open_to_close()
        for id in graph.order():
            self._look(id)

    # ---------------------------------------------------------------- what others ask

    @property
    def finished(self) -> bool:
        """Whether every node is in a final state."""
        return self._open == 0

    @property
    def idle(self) -> bool:
        """Whether nothing is in anybody's hands."""
        return self._active == 0 and not self._in_flight

    @property
    def state(self) -> RunState:
        """What this run is, seen from outside."""
        if not self.finished:
            return RunState.RUNNING
        if self.cancelled:
            return RunState.CANCELLED
        states = set(self.states.values())
        if states & {State.FAILED, State.UPSTREAM_FAILED}:
            return RunState.FAILED
        if State.CANCELLED in states:  # by hand, and nothing else went wrong
            return RunState.CANCELLED
        return RunState.GATED if self.gated else RunState.SUCCESS

    @property
    def gated(self) -> bool:
        """Whether a gate kept nodes from running."""
        return self._gates.hold_back(self.states)

    @property
    def pause(self) -> Pause | None:
        """Why no dbt node starts, while the circuit breaker is open."""
        return self._circuit.pause

    def wake_at(self) -> datetime | None:
        """When `due` will have something new even if no event comes; None for never."""
        times = (
            self._retries[0][0] if self._retries and not self.held_back else None,
            self._stopping.next_timeout(self._runs),
            self._circuit.wake_at() if self._ready and not self.held_back else None,
        )
        return min((time for time in times if time is not None), default=None)

    # ---------------------------------------------------------------- what the loop tells

    def due(self, now: datetime) -> Due:
        """Everything to start or to cancel now; what is answered counts as queued from here on."""
        for attempt, why in self._stopping.overdue(now):
            if self._runs(attempt):
                self._stop(attempt.node_id, why)
        waits = self.held or self.held_back
        while not waits and self._retries and self._retries[0][0] <= now:
            self._ready.add(heapq.heappop(self._retries)[1])
        batches: list[Batch] = []
        changes: list[Changed] = []
        for first in self._take(now):
            members = self._carve(first)
            for id in members:
                self._first_start.setdefault(id, now)
                self.attempts[id] += id not in self._waiting
                self._ready.remove(id)
                change = self._to(id, State.QUEUED, now)
                changes += [] if id in self._waiting else [change]
            batches.append(self._give(first, members))
        return Due(tuple(batches), self._stopping.take(), tuple(changes))

    def _give(self, first: str, members: tuple[str, ...]) -> Batch:
        """Hand out what goes together."""
        attempts = (Attempt(id, self.attempts[id]) for id in members)
        slots = self.plan.wanted(first)
        if self.plan.batches is None or not self.plan.is_dbts(first):
            return self._in_flight.give(attempts, slots)
        from dbtorch.core.run.batching import lines_of

        graph = self.plan.graph
        return self._in_flight.give_dbt(
            attempts,
            slots,
            lines_of(graph, members),
            (id for id in members if graph.nodes[id].splits),
            reserved=min(self._rivals(), self._slots.free(BATCHES)),
        )

    def _rivals(self) -> int:
        """Sorts of batches that could start beside the one that does; of each sort one."""
        waiting = [id for id in self._ready.all() if self.plan.is_dbts(id)]
        sorts = {(self._lane(id), *sorted(self.plan.wanted(id))) for id in waiting}
        return len(sorts)

    def _carve(self, first: str) -> tuple[str, ...]:
        """Everything that goes with a node that starts; alone where dbt gets node by node."""
        if self.plan.batches is None or self.pause is not None:  # a probe is one node
            return (first,)
        lane = self._lane(first)
        if lane is None:
            return (first,)
        from dbtorch.core.run.batching import carve

        ready = [id for id in self._ready.like(first) if self._lane(id) is lane]
        return carve(
            self.plan,
            [first, *ready],
            lane=self._lane,
            waits=lambda other: self.states[other] is State.PENDING,
            passed=self._passed,
        )

    def _lane(self, id: str) -> BatchKind | None:
        """What a node may go with; what goes on with batches of its own goes alone."""
        if self.plan.graph.nodes[id].splits and self.attempts[id]:
            return None
        from dbtorch.core.run.batching import lane_of

        return lane_of(self.plan, id)

    def _take(self, now: datetime) -> Iterator[str]:
        """What starts now; while the circuit breaker is open one dbt node at a time, as a probe."""
        if self.held or self.held_back:
            return
        self._slots.hold(THREADS, hold=self._circuit.holds(now) and not self._closing)
        for id in self._ready.take(self._slots):
            if self.plan.is_covered(id):
                self._circuit.started(id)
                self._slots.hold(THREADS, hold=self._circuit.holds(now) and not self._closing)
            yield id

    def record(self, event: Event, now: datetime) -> list[Changed]:
        """Take note of what happened outside; answer what changed because of it."""
        match event:
            case Started(attempt):
                return self._started(attempt, now)
            case Finished(attempt, outcome):
                # Secrets are out of it by now: what is cut off a message could have hidden a part.
                kept = replace(outcome, message=brief(outcome.message))
                return self._ended(attempt, kept, now)
            case Ended(batch, reason, failure_class):
                return self._lost(batch, reason, failure_class, now)

    def hold(self) -> None:
        """Start nothing more; what is under way may end."""
        self.held = True

    def hold_back(self, yes: bool) -> None:
        """Start nothing until this is taken back; what is under way goes on."""
        self.held_back = yes and not self.cancelled

    def cancel(self, reason: Reason, now: datetime) -> list[Changed]:
        """Start nothing more; `due` answers what is to be cancelled."""
        self.cancelled = True
        self.held_back = False  # the end of the session is to come
        return self._leave_out(State.CANCELLED, reason, now)

    def cancel_node(self, id: str, reason: Reason, now: datetime) -> list[Changed]:
        """Cancel one node and what depends on it; what runs is among the cancels `due` answers.

        A node that has ended stays as it is; the ends of the session and hooks go with the run.
        """
        state, kind = self.states[id], self.plan.graph.nodes[id].kind
        if state.final or kind in EVERY_TIME:
            return []
        self._called_off.add(id)
        if not state.active:
            return self._close(id, State.CANCELLED, now, reason)
        self._stop(id, reason, anew=True)  # whatever it was asked to stop for before
        return []

    # ---------------------------------------------------------------- events

    def _started(self, attempt: Attempt, now: datetime) -> list[Changed]:
        id = attempt.node_id
        if self.plan.is_hook(id):
            if self.states[id].final:
                return []
            self.attempts[id] += self.states[id] is State.PENDING
            return [self._to(id, State.RUNNING, now)]
        if self.states[id] is not State.QUEUED or attempt.number != self.attempts[id]:
            return []
        self._stopping.limit(attempt, now, self.plan.policy(id).timeout)
        change = self._to(id, State.RUNNING, now)
        return [] if id in self._waiting else [change]

    def _ended(self, attempt: Attempt, outcome: Outcome, now: datetime) -> list[Changed]:
        id = attempt.node_id
        if self.plan.is_hook(id):
            if self.states[id].final:
                return []
            if outcome.state is State.UPSTREAM_FAILED:  # after a hook that failed
                return self._close(id, outcome.state, now, Reason(ReasonKind.HOOK_FAILED))
            self.attempts[id] += self.states[id] is State.PENDING
            return self._close(id, outcome.state, now, _why(outcome), outcome)
        if not self.states[id].active or attempt.number != self.attempts[id]:
            return []  # an answer that came after the attempt was given up
        together = self._in_flight.take_back(id)
        if outcome.state is State.UPSTREAM_FAILED and self._waits_again(id, together):
            return self._undo(id, outcome.message, now)
        outcome = self._stopping.judge(id, outcome, called_off=self._is_called_off(id))
        waits = self._wait(id, outcome, now)
        if waits is not None:
            return waits
        if id in self.plan.checks:
            outcome = self.plan.checks[id].judge(outcome, now)
        if self.plan.is_covered(id):
            transient = outcome.failure_class is FailureClass.TRANSIENT and not outcome.lost
            transient = transient and outcome.state is State.FAILED
            if self._circuit.ended(id, now, transient=transient):
                outcome = replace(outcome, innocent=True)
        again = self._next_try(id, outcome, now) if outcome.state is State.FAILED else None
        if again is None:
            again, outcome = self._pass_gate(id, outcome, now)
        if again is None:
            return self._close(id, outcome.state, now, _why(outcome), outcome)
        heapq.heappush(self._retries, (again, id))
        self._last_words[id] = _why(outcome)
        change = self._to(id, State.UP_FOR_RETRY, now, _why(outcome), outcome)
        return [replace(change, retry_at=again)]

    def _wait(self, id: str, outcome: Outcome, now: datetime) -> list[Changed] | None:
        """What comes of a look at something that does not hold yet; None for all else."""
        wait = self.plan.policy(id).wait
        if wait is None or not outcome.waits or outcome.state is not State.FAILED:
            return None
        again = wait.again(first_look=self._first_start.get(id, now), now=now)
        if again is None:
            said = f"waited {durations.text(wait.patience)}: {outcome.message}"
            over = replace(
                outcome, state=wait.then, failure_class=FailureClass.TIMEOUT, message=said
            )
            over = over if wait.then is State.FAILED else replace(over, failure_class=None)
            return self._close(id, wait.then, now, _why(over), over)
        self._stopping.forget(Attempt(id, self.attempts[id]))
        self._waiting.add(id)
        self._to(id, State.UP_FOR_RETRY, now)  # and nobody hears of it: it goes on waiting
        heapq.heappush(self._retries, (again, id))
        return []

    def _pass_gate(
        self, id: str, outcome: Outcome, now: datetime
    ) -> tuple[datetime | None, Outcome]:
        """What the freshness of a source comes to, or when to look again."""
        if not self._gates.is_gate(id) or self._is_called_off(id):
            return None, outcome
        first_check = self._first_start.get(id, now)
        verdict = self._gates.verdict(id, outcome.state, first_check=first_check, now=now)
        if isinstance(verdict, datetime):
            return verdict, outcome
        if not verdict.ok:
            self._last_words[id] = _why(outcome)
        return None, replace(outcome, state=verdict)

    def _lost(
        self, batch: Batch, reason: str, failure_class: FailureClass, now: datetime
    ) -> list[Changed]:
        """Take back what a batch has not reported.

        What had begun has failed. If nothing was ever heard of the batch, so has all that could
        begin, or it would be tried for ever; what could not begin waits as before.
        """
        lost = Outcome(
            state=State.FAILED,
            message=reason,
            reason=Reason(ReasonKind.LOST, text=reason),
            failure_class=failure_class,
            lost=True,
        )
        left = self._in_flight.left(batch)
        to_blame = [attempt for attempt in left if self.states[attempt.node_id] is State.RUNNING]
        if not to_blame and len(left) == len(batch.attempts):
            to_blame = [attempt for attempt in left if self._may_run(attempt.node_id)]
        changes: list[Changed] = []
        for attempt in left:
            if attempt in to_blame:
                changes += self._ended(attempt, lost, now)
            else:
                self._in_flight.take_back(attempt.node_id)
                changes += self._undo(attempt.node_id, reason, now)
        self._in_flight.end(batch)
        return changes

    def _may_run(self, id: str) -> bool:
        """Whether everything before a node has ended, and lets it run."""
        return all(self._passed(parent) for parent in self.plan.graph.parents(id))

    def _passed(self, id: str) -> bool:
        return self.states[id].final and self._goes_on(id)

    def _waits_again(self, id: str, together: frozenset[str]) -> bool:
        """Whether dbt has left out a node because of another one that it was given with it."""
        parents = together.intersection(self.plan.graph.parents(id))
        return not all(self.states[parent].ok for parent in parents)

    def _undo(self, id: str, why: str, now: datetime) -> list[Changed]:
        """A node was handed out and has not been executed: it waits as before."""
        not_executed = Outcome(state=State.FAILED, message=why)
        called_off = self._is_called_off(id)
        outcome = self._stopping.judge(id, not_executed, called_off=called_off)
        self._stopping.forget(Attempt(id, self.attempts[id]))
        self.attempts[id] -= 1
        if id not in self._failures:
            del self._first_start[id]
        changes = [self._to(id, State.PENDING, now, Reason(ReasonKind.NOT_EXECUTED, text=why))]
        if outcome.state is not State.FAILED:  # it was called off meanwhile
            return changes + self._close(id, outcome.state, now, _why(outcome))
        blocker = self._blocker(id)
        if blocker is None:
            self._look(id)
            return changes
        changes.append(self._inherit(id, blocker, now))
        return changes + self._follow(id, now)

    def _blocker(self, id: str) -> str | None:
        """A parent that has ended and does not let this node run."""
        ended = (p for p in self.plan.graph.parents(id) if self.states[p].final)
        return next((parent for parent in ended if not self._goes_on(parent)), None)

    def _next_try(self, id: str, outcome: Outcome, now: datetime) -> datetime | None:
        if self._is_called_off(id):
            return None
        if outcome.innocent:
            return now
        found = outcome.failure_class or FailureClass.UNKNOWN
        failures = self._failures.setdefault(id, Counter())
        failures[found] += 1
        return self.plan.policy(id).retry.next_try(
            failures=failures,
            failure_class=found,
            first_start=self._first_start.get(id, now),
            now=now,
            random=self._random,
            asked_delay=outcome.retry_after,
        )

    # ---------------------------------------------------------------- transitions

    def _to(
        self,
        id: str,
        state: State,
        at: datetime,
        reason: Reason = NO_REASON,
        outcome: Outcome | None = None,
    ) -> Changed:
        before, self.states[id] = self.states[id], state
        self._open -= state.final
        self._active += state.active - before.active
        if id in self._waiting and state.final:
            self._waiting.discard(id)
            before = State.RUNNING
            outcome = outcome or Outcome(state=state, message=str(reason))
        return Changed(
            node_id=id,
            attempt=self.attempts[id],
            before=before,
            state=state,
            at=at,
            reason=reason,
            outcome=outcome,
        )

    def _close(
        self, id: str, state: State, at: datetime, reason: Reason, outcome: Outcome | None = None
    ) -> list[Changed]:
        """Bring a node to a final state, with everything that follows from it."""
        changes = [self._to(id, state, at, reason, outcome)]
        changes += self._follow(id, at)
        if state is State.FAILED and self.plan.fail_fast and not self.cancelled:
            changes += self._leave_out(State.SKIPPED, FAIL_FAST, at)
        return changes

    def _follow(self, ended: str, at: datetime) -> list[Changed]:
        """Release, or close, everything that waited for a node that has just ended."""
        changes: list[Changed] = []
        stack = [ended]
        while stack:
            id = stack.pop()
            goes_on = self._goes_on(id)
            for child in self.plan.graph.children(id):
                self._open_parents[child] -= 1
                if self.states[child] is not State.PENDING:
                    continue
                blocker = id if not goes_on and self._gates.blocks(id, child) else None
                if self._open_parents[child] <= 1 and blocker is None:
                    blocker = self._gates.closed_for(child)
                if blocker is None or self.plan.policy(child).trigger is not Trigger.ALL_SUCCESS:
                    self._look(child)
                else:
                    changes.append(self._inherit(child, blocker, at))
                    stack.append(child)
            opener = self._openers.release(id)
            if opener is not None and self.states[opener] in WAITING:
                changes.append(self._to(opener, State.SKIPPED, at, Reason(ReasonKind.NOT_NEEDED)))
                stack.append(opener)
            if self.plan.is_last(id):
                changes += self._settle_hooks(at)
        return changes

    def _goes_on(self, id: str) -> bool:
        """Whether those after a node that ended may run."""
        state = self.states[id]
        forgiven = self.plan.policy(id).on_failure is OnFailure.CONTINUE
        return state.ok or (state is State.FAILED and forgiven)

    def _inherit(self, child: str, parent: str, at: datetime) -> Changed:
        """Close a child whose parent did not end well."""
        state = self.states[parent]
        cause = self._blocked_by.get(parent, parent)
        self._blocked_by[child] = cause
        self._gates.inherit(child, parent)
        if self._gates.is_behind(parent) and state is State.SKIPPED:
            text = str(self._last_words[cause])
            return self._to(child, state, at, Reason(ReasonKind.NOT_FRESH, (cause,), text))
        if state is State.SKIPPED:
            return self._to(child, state, at, Reason(ReasonKind.UPSTREAM_SKIPPED, (cause,)))
        if state is State.CANCELLED:
            return self._to(child, state, at, Reason(ReasonKind.UPSTREAM_CANCELLED, (cause,)))
        failed = Reason(ReasonKind.UPSTREAM_FAILED, (cause,))
        return self._to(child, State.UPSTREAM_FAILED, at, failed)

    def _leave_out(self, state: State, reason: Reason, at: datetime) -> list[Changed]:
        """Close all that waits and ask all that runs to stop; the session still closes."""
        changes: list[Changed] = []
        for id in self.plan.graph.order():
            if self.states[id].active:
                self._stop(id, reason)
            elif self._may_leave_out(id):
                changes.append(self._left_out(id, state, reason, at))
                changes += self._follow(id, at)
        return changes

    def _left_out(self, id: str, state: State, reason: Reason, at: datetime) -> Changed:
        """Close a node that waits; one that has failed and would be tried again has failed."""
        if (
            state is State.SKIPPED
            and self.states[id] is State.UP_FOR_RETRY
            and id in self._last_words
        ):
            return self._to(id, State.FAILED, at, self._last_words[id])
        return self._to(id, state, at, reason)

    def _may_leave_out(self, id: str) -> bool:
        waiting = self.states[id] in WAITING
        closing = self.plan.policy(id).trigger is Trigger.ALL_DONE
        return waiting and not closing and not self.plan.is_hook(id)

    def _stop(self, id: str, reason: Reason, *, anew: bool = False) -> None:
        session = self.plan.graph.nodes[id].kind is Kind.SESSION
        if not session or self._may_stop_session(id):
            self._stopping.ask(Attempt(id, self.attempts[id]), reason, anew=anew)

    def _may_stop_session(self, id: str) -> bool:
        """Whether an end of the session may be stopped: its hooks, never the artifacts to write."""
        return self.cancelled and (self.states[id] is State.RUNNING or not self.plan.is_last(id))

    # ---------------------------------------------------------------- readiness

    def _look(self, id: str) -> None:
        """Queue a node whose time has come, or the on-demand node it now waits for alone."""
        if self.states[id] is not State.PENDING or self.plan.is_hook(id):
            return
        on_demand = self.plan.policy(id).trigger is Trigger.ON_DEMAND
        if self._open_parents[id] == 0 and not on_demand:
            self._closing = self._closing or self.plan.is_last(id)
            self._ready.add(id)
        elif self._open_parents[id] == 1:
            opener = self._openers.of(id)
            if opener is not None and self.states[opener] is State.PENDING:
                self._ready.add(opener)

    def _adopt(self, id: str, before: PreviousState) -> None:
        """Take over an earlier execution's attempts, and its outcome where that still holds."""
        if id not in self.states:
            return
        self.attempts[id] = before.attempts
        stays = before.state.ok or (before.stays and before.state.final)
        if not stays or self.plan.graph.nodes[id].kind in EVERY_TIME:
            return
        self.states[id] = before.state
        self._open -= 1
        if self._gates.is_gate(id) and before.state is State.SKIPPED and before.attempts:
            self._gates.adopt(id)
        for child in self.plan.graph.children(id):
            self._open_parents[child] -= 1
        self._openers.release(id)

    # ---------------------------------------------------------------- small questions

    def _is_called_off(self, id: str) -> bool:
        return self.cancelled or id in self._called_off

    def _runs(self, attempt: Attempt) -> bool:
        id = attempt.node_id
        return self.states[id] is State.RUNNING and self.attempts[id] == attempt.number

    def _settle_hooks(self, at: datetime) -> list[Changed]:
        """Close hooks the session never reported: one that was running counts as failed."""
        changes: list[Changed] = []
        for id, state in self.states.items():
            if not self.plan.is_hook(id) or state.final:
                continue
            if state is State.RUNNING:
                changes.append(self._to(id, State.FAILED, at, Reason(ReasonKind.SESSION_ENDED)))
            elif self.cancelled:
                changes.append(self._to(id, State.CANCELLED, at, Reason(ReasonKind.RUN_CANCELLED)))
            else:
                changes.append(self._to(id, State.SKIPPED, at, Reason(ReasonKind.NOT_RUN)))
        return changes


def _why(outcome: Outcome) -> Reason:
    """The reason of a node whose attempt ended so."""
    return outcome.reason or Reason.said(outcome.message)
