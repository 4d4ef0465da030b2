"""Marks: a person says how a node of a run stands."""

from __future__ import annotations

from contextlib import ExitStack

from dbtorch.adapters.actor import actor as this_actor
from dbtorch.adapters.clock import SystemClock
from dbtorch.app.marking import mark as decide
from dbtorch.core.errors import LeaseHeld, RunInProgress, UsageError
from dbtorch.core.history.records import Action, NodeRecord, RunRecord, Verb
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import Reason, ReasonKind, asked_by
from dbtorch.core.model.state import RunState, State
from dbtorch.ports.loop import Clock
from dbtorch.ports.store import Store
from dbtorch.service.history.lookup import find_node, read_run
from dbtorch.service.run.lease import lease_of


def mark(
    store: Store,
    run: str,
    node: str,
    state: State,
    *,
    reason: str,
    actor: str = "",
    clock: Clock | None = None,
) -> tuple[str, ...]:
    """Mark a node as ``success`` or ``failed``; answers what came of it in sentences.

    Raises `UsageError` for a run that somebody drives, and for a node that cannot be marked.
    """
    clock, actor = clock or SystemClock(), actor or this_actor()
    run_id = read_run(store, run).run_id
    with ExitStack() as stack:
        _hold(store, read_run(store, run_id), stack)
        record = read_run(store, run_id)  # as nobody else changes it
        found = _markable(record, find_node(record, node), state)
        why = Reason(ReasonKind.MARKED, text=f"{state} by {asked_by(actor, reason)}")
        marked = decide(record, found, state, why, clock.now())
        action = Action(
            action=Verb.MARK,
            at=clock.now(),
            actor=actor,
            node_id=found.id,
            state=state.value,
            reason=reason,
        )
        ordinal = store.act(run_id, action)
        store.record(run_id, marked.changes)
        if marked.run_state is not record.state:
            store.end(run_id, marked.run_state, record.finished_at or clock.now())
        store.handled(run_id, ordinal, clock.now())
    return (
        f"{found.id} is marked {state} in run {run_id} (it was {found.state})",
        _what_now(record, marked.run_state),
    )


def _what_now(run: RunRecord, state: RunState) -> str:
    goes_on = f"`dbtorch retry {run.run_id}` goes on with it"
    if state is RunState.RUNNING:
        return f"the run was interrupted; {goes_on}"
    how = f"stays {state}" if state is run.state else f"is {state} now"
    return f"the run {how}" if state is RunState.SUCCESS else f"the run {how}; {goes_on}"


def _hold(store: Store, run: RunRecord, stack: ExitStack) -> None:
    """Keep others from going on with the run while it is written. Raises `UsageError`."""
    lease = lease_of(store, run)
    try:
        lease, _ = store.acquire(lease)
    except LeaseHeld as held:
        if held.lease.run_id == run.run_id:
            raise RunInProgress(
                f"run {run.run_id} is being driven by pid {held.lease.pid} on {held.lease.host};"
                f" `dbtorch cancel {run.run_id} NODE` ends a node of it, and a mark is for a run"
                " that has ended",
                run.run_id,
            ) from held
        return  # another run of the pipeline goes on, so nobody can go on with this one
    stack.callback(store.release, lease)


def _markable(run: RunRecord, node: NodeRecord, state: State) -> NodeRecord:
    if node.kind in (Kind.SESSION, Kind.OPERATION):
        raise UsageError(
            f"{node.id} is a part of dbt's session, which every retry runs again; it takes no mark"
        )
    if node.state is state:
        raise UsageError(f"{node.id} is {state} in run {run.run_id} already; nothing was changed")
    return node
