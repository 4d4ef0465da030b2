"""What a run is whose supervisor has died, and the changes that say so. Pure: a record in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from dbtorch.core.history.records import UNWATCHED, NodeRecord, RunRecord
from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.graph import EVERY_TIME, Kind
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, State

#: Kinds that may have begun without anybody having heard of it.
_UNHEARD = frozenset({Kind.STEP, *EVERY_TIME})


@dataclass(frozen=True, slots=True)
class Takeover:
    """A run without anything under way."""

    changes: tuple[Changed, ...]  # to be written before anything else is
    nodes: tuple[NodeRecord, ...]  # of the run, as they are then


def take_over(run: RunRecord) -> Takeover:
    """Close what was under way when the supervisor died, at its last sign of life.

    When it really ended nobody knows. What dbt had been given and had not begun waits as before:
    with batches that may be thousands of nodes, and none of them has failed. But what may have
    begun without anybody having heard of it must not be taken for untouched.
    """
    last = max((move.at for move in run.transitions), default=run.started_at)
    why = Reason(ReasonKind.SUPERVISOR_LOST, text=f"pid {run.pid} on {run.host}")
    unheard = {node.id for node in run.nodes if node.kind in _UNHEARD}
    unheard.update(run.options.get(UNWATCHED, ()))
    taken = [_taken(node, last, why, unheard=node.id in unheard) for node in run.nodes]
    return Takeover(
        tuple(change for change, _ in taken if change is not None),
        tuple(node for _, node in taken),
    )


def _taken(
    node: NodeRecord, last: datetime, why: Reason, *, unheard: bool
) -> tuple[Changed | None, NodeRecord]:
    if not node.state.active:
        return None, node
    if node.state is State.QUEUED and not unheard:
        undone = replace(
            node, state=State.PENDING, reason=why, retry_at=None, attempts=node.attempts[:-1]
        )
        return _change(node, undone, last), undone
    outcome = Outcome(
        state=State.FAILED,
        message=str(why),
        reason=why,
        failure_class=FailureClass.TRANSIENT,
        lost=True,
    )
    attempts = node.attempts
    if attempts and attempts[-1].state.active:
        ended = replace(
            attempts[-1],
            state=State.FAILED,
            finished_at=last,
            failure_class=outcome.failure_class,
            message=outcome.message,
            lost=True,
        )
        attempts = (*attempts[:-1], ended)
    failed = replace(node, state=State.FAILED, reason=why, retry_at=None, attempts=attempts)
    return replace(_change(node, failed, last), outcome=outcome), failed


def _change(before: NodeRecord, after: NodeRecord, at: datetime) -> Changed:
    return Changed(
        node_id=before.id,
        attempt=after.last_attempt,
        before=before.state,
        state=after.state,
        at=at,
        reason=after.reason,
    )
