"""Taking the lease of a pipeline: one run at a time, and nothing of the one before goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from dbtorch.adapters.processes import this_host
from dbtorch.adapters.steps.left_behind import end_left_behind
from dbtorch.app.lease import LeaseKeeper
from dbtorch.cli.errors import UsageError
from dbtorch.cli.project import lease_lifetime
from dbtorch.core.history import Lease
from dbtorch.ports import Clock, LeaseHeld, Store

#: Seconds that what an earlier run left behind has to end by itself.
_GRACE = 5.0


def hold_lease(
    stack: ExitStack,
    store: Store,
    clock: Clock,
    *,
    name: str,
    run_id: str,
    goes_on: bool,
    on_lost: Callable[[str], None],
    note: Callable[[str], None],
) -> Lease:
    """Take the lease, keep it while ``stack`` is open, and end what an earlier run left behind.

    A run that ``goes_on`` may have left something itself. ``on_lost`` is told when somebody else
    has taken the lease over, ``note`` what was ended. Raises `UsageError` naming who holds it.
    """
    now = clock.now()
    lease = Lease(
        name=name,
        run_id=run_id,
        host=this_host(),
        pid=os.getpid(),
        acquired_at=now,
        expires_at=now + lease_lifetime(),
    )
    held_before = store.holder(name)
    try:
        stack.enter_context(LeaseKeeper(store, lease, clock, on_lost=on_lost))
    except LeaseHeld as held:
        raise UsageError(_who_holds(held.lease)) from held
    left = {run_id} if goes_on else set()  # every process of the machine is looked at for each
    if held_before is not None:
        left.add(held_before.run_id)
    ended = sum(end_left_behind(id, grace=_GRACE) for id in left)
    if ended:
        note(f"ended {ended} processes that an earlier run left behind")
    return lease


def _who_holds(lease: Lease) -> str:
    since = lease.acquired_at.astimezone()
    return (
        f"{lease.name} is already being run by {lease.run_id} "
        f"(pid {lease.pid} on {lease.host}, since {since:%Y-%m-%d %H:%M:%S}); "
        f"wait for it to end, or end it with `dbtorch cancel {lease.run_id}`"
    )
