"""What a run is whose supervisor has died, and the changes that say so. Pure: a record in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from dbtorch.core.events import Changed, Outcome
from dbtorch.core.graph import EVERY_TIME, Kind
from dbtorch.core.history import LOST, NodeRecord, RunRecord
from dbtorch.core.state import FailureClass, State

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
    with batches that may be thousands of nodes, and none of them has failed.
    """
    last = max((move.at for move in run.transitions), default=run.started_at)
    why = f"{LOST} (pid {run.pid} on {run.host}) was gone"
    taken = [_taken(node, last, why) for node in run.nodes]
    return Takeover(
        tuple(change for change, _ in taken if change is not None),
        tuple(node for _, node in taken),
    )


def attempts_of(node: NodeRecord) -> int:
    """The number of its last attempt; 0 when there was none."""
    return max((attempt.number for attempt in node.attempts), default=0)


def _taken(node: NodeRecord, last: datetime, why: str) -> tuple[Changed | None, NodeRecord]:
    if not node.state.active:
        return None, node
    if node.state is State.QUEUED and node.kind not in _UNHEARD:
        undone = replace(
            node, state=State.PENDING, reason=why, retry_at=None, attempts=node.attempts[:-1]
        )
        return _change(node, undone, last), undone
    outcome = Outcome(
        state=State.FAILED, message=why, failure_class=FailureClass.TRANSIENT, lost=True
    )
    attempts = node.attempts
    if attempts and attempts[-1].state.active:
        ended = replace(
            attempts[-1],
            state=State.FAILED,
            finished_at=last,
            failure_class=outcome.failure_class,
            message=why,
        )
        attempts = (*attempts[:-1], ended)
    failed = replace(node, state=State.FAILED, reason=why, retry_at=None, attempts=attempts)
    return replace(_change(node, failed, last), outcome=outcome), failed


def _change(before: NodeRecord, after: NodeRecord, at: datetime) -> Changed:
    return Changed(
        node_id=before.id,
        attempt=attempts_of(after),
        before=before.state,
        state=after.state,
        at=at,
        reason=after.reason,
    )
