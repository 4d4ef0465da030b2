"""Closing a run that nobody drives any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from dbtorch.app.resume import attempts_of, take_over
from dbtorch.core.events import Changed
from dbtorch.core.history import Lease, RunRecord
from dbtorch.core.state import RunState, State
from dbtorch.ports import LeaseHeld, Store


def close(store: Store, run_id: str, reason: str, mine: Lease) -> RunState | None:
    """Write that an abandoned run is cancelled; answers how it had ended if somebody was faster.

    Attempts in flight are lost, what waits is cancelled. ``mine`` is the run's lease for the time
    of writing, so that nobody goes on with the run meanwhile. Raises `LeaseHeld` if somebody does.
    """
    now = mine.acquired_at
    with _held(store, mine) as lease:
        run = store.run(run_id)
        if run is None or run.state is not RunState.RUNNING:
            return run.state if run is not None else None
        store.record(run_id, [*take_over(run), *_left_out(run, reason, now)], lease=lease)
        store.end(run_id, RunState.CANCELLED, now, lease=lease)
    return None


def _left_out(run: RunRecord, reason: str, now: datetime) -> Iterator[Changed]:
    for node in run.nodes:
        if node.state in (State.PENDING, State.UP_FOR_RETRY):
            yield Changed(
                node_id=node.id,
                attempt=attempts_of(node),
                before=node.state,
                state=State.CANCELLED,
                at=now,
                reason=reason,
            )


@contextmanager
def _held(store: Store, lease: Lease) -> Iterator[Lease | None]:
    try:
        store.acquire(lease, now=lease.acquired_at)
    except LeaseHeld as held:
        if held.lease.run_id == lease.run_id:
            raise
        yield None  # another run of the pipeline goes on, so nobody can go on with this one
        return
    try:
        yield lease
    finally:
        store.release(lease)
