"""Taking the lease of a pipeline: one run at a time, and nothing of the one before goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dbtorch.adapters.processes.liveness import this_host, this_process
from dbtorch.adapters.processes.reaping import end_left_behind
from dbtorch.app.inbox import Inbox
from dbtorch.app.lease import LeaseKeeper
from dbtorch.core.errors import LeaseHeld, RunInProgress, UsageError
from dbtorch.core.history.records import LEASE_LIFETIME, Lease, RunRecord
from dbtorch.core.text.moments import shown
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.control import RunControl

if TYPE_CHECKING:
    from dbtorch.ports.store import Store

#: Seconds between two looks whether a lease that is waited for is free.
_LOOK_EVERY = 0.5

#: Seconds that what an earlier run left behind has to end by itself.
_GRACE = 5.0


#: Seconds, a day: after a crash on another machine a run waits this long to be gone on with.
_LONGEST_LEASE = 86_400


def lease_lifetime(environ: Mapping[str, str] = os.environ) -> timedelta:
    """How long a supervisor that is not heard of still holds its pipeline. Raises `UsageError`."""
    text = environ.get("DBTORCH_LEASE_LIFETIME")
    if not text:
        return LEASE_LIFETIME
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= _LONGEST_LEASE:
        raise UsageError(
            f"DBTORCH_LEASE_LIFETIME is {text!r}; give it a number of seconds from 1 to"
            f" {_LONGEST_LEASE}, such as {LEASE_LIFETIME.seconds}"
        )
    return timedelta(seconds=seconds)


def lease_of(store: Store, run: RunRecord, environ: Mapping[str, str] = os.environ) -> Lease:
    """The lease of a run that somebody writes to by hand."""
    place = run.place or store.identity.place(run.target)
    return _lease(store.identity.lease(run.pipeline, place), run.run_id, environ)


@dataclass(frozen=True, slots=True)
class Held:
    """The lease of a run, and runs of which something may have been left behind."""

    lease: Lease
    before: frozenset[str]


def hold_lease(
    stack: ExitStack,
    store: Store,
    run_context: RunContext,
    inbox: Inbox,
    control: RunControl,
    *,
    goes_on: bool,
    note: Callable[[str], None],
    wait: float | None = None,
    shared: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Held:
    """Take the lease, keep it while ``stack`` is open, and end what an earlier run left behind.

    A run of a partition holds that as well, and one that is ``shared`` nothing else. A run that
    ``goes_on`` may have left something itself. ``note`` is told who is waited for, at most ``wait``
    seconds, and what was ended. Raises `RunInProgress` naming who holds it.
    """
    identity, run_id = store.identity, run_context.run_id
    place = identity.place(identity.target)
    what = identity.called(run_context.pipeline)
    name = identity.lease(run_context.pipeline, place)
    names = [f"{name}@{run_context.interval.to_text()}"] if run_context.partition else []
    names += [] if shared and names else [name]
    until, waits_for = time.monotonic() + (wait or 0.0), ""
    left = {run_id} if goes_on else set()  # every process of the machine is looked at for each
    for name in names:
        lease, formerly = _lease(name, run_id, environ), "" if "@" in name else what
        keeper = LeaseKeeper(store.apart(), lease, inbox, control.kill, formerly=formerly)
        while True:
            try:
                stack.enter_context(keeper)
                break
            except LeaseHeld as held:
                if time.monotonic() >= until:
                    raise RunInProgress(
                        _who_holds(held.lease, what, place), held.lease.run_id
                    ) from held
                if held.lease.run_id != waits_for:
                    waits_for = held.lease.run_id
                    note(f"waits for {waits_for}, which runs {what} (pid {_by(held.lease)})")
            control.pause(_LOOK_EVERY)
        if keeper.before is not None:
            left.add(keeper.before.run_id)
    ended = sum(end_left_behind(id, grace=_GRACE) for id in left)
    if ended:
        note(f"ended {ended} processes that an earlier run left behind")
    return Held(keeper.lease, frozenset(left))


def _lease(name: str, run_id: str, environ: Mapping[str, str]) -> Lease:
    """A lease as this process would hold it; the store says when it begins."""
    now = datetime.now(UTC)
    return Lease(
        name=name,
        run_id=run_id,
        host=this_host(),
        pid=os.getpid(),
        process=this_process(),
        acquired_at=now,
        expires_at=now + lease_lifetime(environ),
    )


def _by(lease: Lease) -> str:
    return f"{lease.pid} on {lease.host}"


def _who_holds(lease: Lease, what: str, place: str) -> str:
    return (
        f"{what} is already being run by {lease.run_id} "
        f"(pid {_by(lease)}, since {shown(lease.acquired_at)}) on target {place}; "
        "wait for it to end with `--wait`, or end it with"
        f" `dbtorch cancel {lease.run_id}`"
    )
