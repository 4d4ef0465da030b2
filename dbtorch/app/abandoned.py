"""A run that nobody drives any more: what it is by now, and closing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from dbtorch.app.takeover import Takeover, take_over
from dbtorch.core.errors import LeaseHeld
from dbtorch.core.history.records import Lease, RunRecord
from dbtorch.core.model.events import Changed
from dbtorch.core.model.reason import Reason
from dbtorch.core.model.state import RunState, State
from dbtorch.ports.store import Store


def as_it_is(run: RunRecord) -> RunRecord:
    """The run as whoever goes on with it will write it: nothing is in flight."""
    return replace(run, nodes=take_over(run).nodes)


def close(store: Store, run_id: str, reason: Reason, mine: Lease, now: datetime) -> RunState | None:
    """Write that an abandoned run is cancelled; answers how it had ended if somebody was faster.

    Attempts under way are lost, what waits is cancelled. ``mine`` is the run's lease for the time
    of writing, so that nobody goes on with the run meanwhile. Raises `LeaseHeld` if somebody does.
    """
    with _held(store, mine) as lease:
        run = store.run(run_id)
        if run is None or run.state is not RunState.RUNNING:
            return run.state if run is not None else None
        taken = take_over(run)
        store.record(run_id, [*taken.changes, *_left_out(taken, reason, now)], lease=lease)
        store.end(run_id, RunState.CANCELLED, now, lease=lease)
    return None


def _left_out(run: Takeover, reason: Reason, now: datetime) -> Iterator[Changed]:
    for node in run.nodes:
        if node.state in (State.PENDING, State.UP_FOR_RETRY):
            yield Changed(
                node_id=node.id,
                attempt=node.last_attempt,
                before=node.state,
                state=State.CANCELLED,
                at=now,
                reason=reason,
            )


@contextmanager
def _held(store: Store, lease: Lease) -> Iterator[Lease | None]:
    try:
        lease, _ = store.acquire(lease)
    except LeaseHeld as held:
        if held.lease.run_id == lease.run_id:
            raise
        yield None  # another run of the pipeline goes on, so nobody can go on with this one
        return
    try:
        yield lease
    finally:
        store.release(lease)
