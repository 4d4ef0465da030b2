"""Cancelling: asks the supervisor of a run, or closes a run that has none any more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from dbtorch.adapters.actor import actor as this_actor
from dbtorch.adapters.clock import SystemClock
from dbtorch.app import abandoned
from dbtorch.core.errors import LeaseHeld, UsageError
from dbtorch.core.history.records import Action, NodeRecord, RunRecord, Verb
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import Reason, ReasonKind, asked_by
from dbtorch.core.model.state import RunState
from dbtorch.ports.loop import Clock
from dbtorch.ports.store import Store
from dbtorch.service.history.lookup import IsAlive, find_node, holds_lease, read_run
from dbtorch.service.run.lease import lease_of

#: Seconds to wait for the supervisor and for what it cancels; it has its own grace and goes on.
PATIENCE = 15.0

_LOOK_EVERY = 0.3
_NAMED = 5


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """What came of a cancel."""

    done: bool  # it is cancelled or will be; False: it came too late, or nobody answers
    sentences: tuple[str, ...]  # what a person is told of it


def cancel(
    store: Store,
    run: str,
    nodes: Sequence[str] = (),
    *,
    reason: str = "",
    wait: bool = True,
    actor: str = "",
    clock: Clock | None = None,
    is_alive: IsAlive | None = None,
    patience: float = PATIENCE,
) -> CancelAnswer:
    """Cancel a run, or nodes of it, and wait ``patience`` seconds for that.

    Raises `UsageError` when there is nothing to cancel, `NotFound` for what is not there.
    """
    clock, actor = clock or SystemClock(), actor or this_actor()
    record = read_run(store, run)
    found = [_cancellable(record, find_node(record, text)) for text in nodes]
    asking = _Asking(
        store=store,
        run_id=record.run_id,
        actor=actor,
        reason=reason,
        clock=clock,
        is_alive=is_alive or holds_lease(store),
    )
    if not asking.is_alive(record):
        return asking.close(record, found)
    asked = asking.ask([node.id for node in found] or [""])
    if not wait:
        what = _listed([node.id for node in found]) or "everything"
        return _done(f"run {record.run_id} was asked to cancel {what}")
    return asking.wait(asked, [node.id for node in found], patience)


def _cancellable(run: RunRecord, node: NodeRecord) -> NodeRecord:
    if node.kind in (Kind.SESSION, Kind.OPERATION):
        raise UsageError(f"{node.id} is a part of dbt's session: cancel the whole run instead")
    if node.state.final:
        raise UsageError(f"{node.id} is over in run {run.run_id} ({node.state}); nothing was asked")
    return node


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """One request, from asking to what came of it."""

    store: Store
    run_id: str
    actor: str
    reason: str
    clock: Clock
    is_alive: IsAlive

    def ask(self, node_ids: Sequence[str]) -> list[int]:
        """Write a request for each; answers their ordinals."""
        return [self.store.act(self.run_id, self._action(id)) for id in node_ids]

    def wait(self, asked: Sequence[int], node_ids: Sequence[str], patience: float) -> CancelAnswer:
        """Wait until what was asked for has happened, and say what has."""
        until = time.monotonic() + patience
        while True:
            run = read_run(self.store, self.run_id)
            answered = all(a.handled_at for a in run.actions if a.ordinal in asked)
            if not self.is_alive(run) and run.state is RunState.RUNNING:
                run = read_run(self.store, self.run_id)  # it may have ended just now
                if run.state is RunState.RUNNING:
                    return self._gone(run, asked, node_ids)
            over = answered and _is_over(run, node_ids)
            ended = run.state is not RunState.RUNNING and not self.is_alive(run)
            if over or ended:
                return self._told(run, node_ids)
            if time.monotonic() > until:
                return self._told_of_waiting(run, node_ids, answered=answered)
            time.sleep(_LOOK_EVERY)

    def close(self, run: RunRecord, nodes: Sequence[NodeRecord]) -> CancelAnswer:
        """Write the end of a run whose supervisor is gone. Raises `UsageError` if it has one."""
        if run.state is not RunState.RUNNING:
            raise UsageError(f"run {run.run_id} is over ({run.state}); there is nothing to cancel")
        if nodes:
            raise UsageError(
                f"run {run.run_id} is not running, its process is gone: `dbtorch retry"
                f" {run.run_id}` goes on with it, `dbtorch cancel {run.run_id}` closes it"
            )
        self._close(run)
        self.store.act(self.run_id, self._action("", handled=True))
        return _done(f"run {run.run_id} had lost its process; it is cancelled now")

    def _close(self, run: RunRecord) -> None:
        now = self.clock.now()
        lease = lease_of(self.store, run)
        why = Reason(ReasonKind.RUN_CANCELLED, text=asked_by(self.actor, self.reason))
        try:
            ended = abandoned.close(self.store, run.run_id, why, lease, now)
        except LeaseHeld as held:
            raise UsageError(
                f"somebody goes on with run {run.run_id} at this moment (pid {held.lease.pid} on"
                f" {held.lease.host}); cancel it again"
            ) from held
        if ended is not None:
            raise UsageError(f"run {run.run_id} is over ({ended}); there is nothing to cancel")

    def _action(self, node_id: str, *, handled: bool = False) -> Action:
        now = self.clock.now()
        return Action(
            action=Verb.CANCEL,
            at=now,
            actor=self.actor,
            node_id=node_id,
            reason=self.reason,
            handled_at=now if handled else None,
        )

    # ---------------------------------------------------------------- what came of it

    def _gone(self, run: RunRecord, asked: Sequence[int], node_ids: Sequence[str]) -> CancelAnswer:
        if node_ids:
            return _failed(
                f"the process of run {run.run_id} is gone: `dbtorch retry {run.run_id}` goes on"
                f" with it, `dbtorch cancel {run.run_id}` closes it"
            )
        self._close(run)
        self.store.handled(run.run_id, asked[-1], self.clock.now())
        return _done(f"the process of run {run.run_id} is gone; the run is cancelled now")

    def _told(self, run: RunRecord, node_ids: Sequence[str]) -> CancelAnswer:
        if not node_ids and run.state is RunState.CANCELLED:
            return _done(f"run {run.run_id} was cancelled")
        if not node_ids:
            return _failed(f"run {run.run_id} ended before it could be cancelled ({run.state})")
        known = {node.id: node.state.value for node in run.nodes}
        states = {id: known[id] for id in node_ids}
        sentences = (
            f"{id} was cancelled"
            if state == "cancelled"
            else f"{id} ended before it could be cancelled ({state})"
            for id, state in states.items()
        )
        return CancelAnswer(set(states.values()) == {"cancelled"}, tuple(sentences))

    def _told_of_waiting(
        self, run: RunRecord, node_ids: Sequence[str], *, answered: bool
    ) -> CancelAnswer:
        if not answered:
            return _failed(
                f"the process of run {run.run_id} (pid {run.pid} on {run.host}) has not answered"
                " yet; it cancels as soon as it reads the request"
            )
        left = [n.id for n in run.nodes if not n.state.final and (n.id in node_ids or not node_ids)]
        return _done(f"run {run.run_id} is cancelling; still to end: {_listed(left)}")


def _done(sentence: str) -> CancelAnswer:
    return CancelAnswer(True, (sentence,))


def _failed(sentence: str) -> CancelAnswer:
    return CancelAnswer(False, (sentence,))


def _is_over(run: RunRecord, node_ids: Sequence[str]) -> bool:
    if not node_ids:
        return run.state is not RunState.RUNNING
    return all(node.state.final for node in run.nodes if node.id in node_ids)


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
