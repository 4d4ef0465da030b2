"""Runs that were to start and have not begun: tried again, given back, or given up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from dbtorch.core.exit_codes import Again, again
from dbtorch.core.schedule.decide import ended, given_back
from dbtorch.core.schedule.ledger import (
    LedgerView,
    ScheduleChange,
    ScheduleKey,
    ScheduleRecord,
    TickRecord,
    TickState,
)
from dbtorch.ports.store import Store
from dbtorch.schedule.children import Child

#: How often the launch of a run that has not begun is tried, by what its exit code says.
_LAUNCHES = {Again.ONCE: 2, Again.YES: 3}

#: Seconds between, times the tries.
PAUSE = 10

#: What becomes of a tick, at a time; None leaves it as it is.
Change = Callable[[TickRecord, datetime], TickRecord | None]


def after_its_child(
    tick: TickRecord, child: Child, now: datetime, *, changed: bool
) -> TickRecord | None:
    """What becomes of a tick whose child has ended without having begun; None: it had begun.

    It is tried again as the table of exit codes says, and where dbtorch.yml has ``changed`` since
    it was started. Of one that had begun the next turn sees whether it goes on.
    """
    code = child.process.returncode
    if tick.state is not TickState.QUEUED:
        return None
    verdict = Again.YES if changed and code != 0 else again(code)
    if tick.claims < _LAUNCHES.get(verdict, 1):
        return given_back(tick, due_at=now + timedelta(seconds=PAUSE * tick.claims))
    said = f"exit code {code}" + (f": {child.last_words}" if child.last_words else "")
    return ended(
        tick, now, "there was nothing to run" if code == 0 else f"the run could not begin ({said})"
    )


def rewrite(
    store: Store,
    look: Callable[[], LedgerView],
    tokens: Mapping[ScheduleKey, set[str]],
    change: Change,
) -> None:
    """Change ticks that are still claimed with these tokens, whoever writes meanwhile."""
    while tokens:
        view = look()
        changes = []
        for key, mine in tokens.items():
            record = view.schedules.get(key)
            ticks = record.ticks if record is not None else ()
            changed = [change(tick, view.now) for tick in ticks if tick.token in mine]
            if record is not None and record.watermark is not None and any(changed):
                rewritten = [tick for tick in changed if tick is not None]
                changes.append(written(record, record.watermark, rewritten))
        done = store.decide(changes) if changes else frozenset()
        tokens = {change.key: tokens[change.key] for change in changes if change.key not in done}


def written(
    record: ScheduleRecord, watermark: datetime, ticks: Iterable[TickRecord]
) -> ScheduleChange:
    """What is written of a pipeline, if nobody else has come first."""
    return ScheduleChange(
        key=record.key,
        version=record.version,
        watermark=watermark,
        checksum=record.checksum,
        ticks=tuple(ticks),
    )
