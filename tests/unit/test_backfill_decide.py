"""Which partitions of a backfill start, beside the ticks of its pipeline."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.history.records import Lease
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.backfill import (
    Backfill,
    BackfillSpec,
    BackfillState,
    Beside,
    Part,
    PartState,
    decide_backfill,
    merged,
)
from dbtorch.core.schedule.decide import MOST_CLAIMS
from dbtorch.core.schedule.ledger import (
    LedgerView,
    ScheduleKey,
    ScheduleRecord,
    TickRecord,
    TickState,
)

KEY, LEASE = ScheduleKey("daily", "dev"), "p/daily/dev"
NOW, DAY, MINUTE = datetime(2026, 3, 1, 12, tzinfo=UTC), timedelta(days=1), timedelta(minutes=1)
W, C, S, D, F = (
    PartState.WAITING, PartState.CLAIMED, PartState.STARTED, PartState.DONE, PartState.FAILED,
)  # fmt: skip


def part(number, state=W, **given):
    start = NOW - (99 - number) * DAY
    return Part(
        ordinal=number,
        key=f"{start:%F}",
        interval=Interval(start, start + DAY),
        state=state,
        **given,
    )


def backfill(*parts, max_active=1, counts=None, **given):
    return Backfill(
        id="b", key=KEY, spec=BackfillSpec(max_active=max_active), created_at=NOW, parts=parts,
        counts=counts or {}, **given,
    )  # fmt: skip


def a_lease(name, run_id="x"):
    return Lease(name=name, run_id=run_id, host="h", pid=1, acquired_at=NOW, expires_at=NOW + DAY)


def view(*held, ticks=()):
    """What is held: names of leases, or runs, each by itself."""
    leases = {name: a_lease(name, name) for name in held}
    return LedgerView(
        now=NOW, leases=leases, schedules={KEY: ScheduleRecord(key=KEY, ticks=tuple(ticks))}
    )


def tick(due_at=NOW, **given):
    return TickRecord(scheduled_for=due_at, interval=Interval(None, due_at), due_at=due_at, **given)


def ready(one, seen=None, **beside):
    found = decide_backfill(one, seen or view(), Beside(lease=LEASE, **beside))
    return [part.ordinal for part in found.ready]


def test_the_next_starts_when_one_slot_is_free():
    parts = (part(0, S, run_id="r0"), part(1, C, server="serve/1"), part(2), part(3))
    held = view("r0", "serve/1")
    done = {D: 1}
    assert ready(backfill(*parts, max_active=2, counts=done), held) == []
    assert ready(backfill(*parts, max_active=3, counts=done), held) == [2]
    assert ready(backfill(*parts, max_active=9, counts=done), held) == [2, 3]
    assert ready(backfill(part(2), part(3))) == [2]


def test_until_one_has_succeeded_they_run_one_at_a_time():
    assert ready(backfill(part(0), part(1), max_active=2)) == [0]
    assert ready(backfill(part(1), part(2), max_active=2, counts={F: 1})) == [1]
    assert ready(backfill(part(1), part(2), max_active=2, counts={F: 1, D: 1})) == [1, 2]


def test_what_was_begun_goes_on_first():
    assert ready(backfill(part(1), part(7, run_id="r7"))) == [7]


def test_a_part_whose_claimant_or_supervisor_is_gone_waits_for_the_next():
    one = backfill(part(0, C, server="serve/1", token="t"), part(1, S, run_id="r1", token="u"))
    found = decide_backfill(one, view(), Beside(lease=LEASE))
    assert [(p.state, p.token, p.run_id) for p in found.parts] == [(W, "", ""), (W, "", "r1")]
    assert [p.ordinal for p in found.ready] == [1]


def test_what_kills_its_supervisor_each_time_is_given_up():
    one = backfill(part(0, S, run_id="r0", claims=MOST_CLAIMS), counts={S: 1})
    found = decide_backfill(one, view(), Beside(lease=LEASE))
    assert (found.parts[0].state, found.state) == (F, BackfillState.FAILED)
    assert "given up" in found.parts[0].note


@pytest.mark.parametrize(
    ("counts", "state"),
    [({D: 3}, BackfillState.DONE), ({D: 2, F: 1}, BackfillState.FAILED),
     ({D: 2, PartState.CANCELLED: 1}, BackfillState.FAILED)],
)  # fmt: skip
def test_it_is_over_when_nothing_is_open(counts, state):
    found = decide_backfill(backfill(counts=counts), view(), Beside(lease=LEASE))
    assert found.state is state


def test_a_paused_one_starts_nothing():
    assert ready(backfill(part(0), state=BackfillState.PAUSED)) == []


def test_ticks_of_the_pipeline_come_first():
    one = backfill(part(0))
    assert ready(one, view(LEASE)) == []  # a run of it goes on, whoever started that
    assert ready(one, view(ticks=[tick()])) == []  # one is due
    assert ready(one, view(ticks=[tick(state=TickState.STARTED, run_id="r")])) == []
    assert ready(one, view(ticks=[tick(NOW + DAY)])) == [0]
    shared = backfill(part(0), max_active=2)
    assert ready(shared, view(LEASE, ticks=[tick()])) == [0]  # each has a partition of its own


def test_nothing_starts_that_would_still_go_on_when_the_next_tick_is_due():
    one, due = backfill(part(0)), {"next_tick": NOW + 10 * MINUTE, "tick_after": NOW + DAY}
    assert ready(one, expected=9 * MINUTE, **due) == [0]
    assert ready(one, expected=11 * MINUTE, **due) == []
    assert ready(one, **due) == [0]  # nobody knows how long it takes
    # no gap is long enough: they take turns, and it is not starved
    due["tick_after"] = NOW + 20 * MINUTE
    assert ready(one, expected=11 * MINUTE, **due) == [0]


def test_adjoining_parts_are_merged():
    parts = [part(number) for number in (0, 1, 2, 4, 5)]
    found = merged(parts, 2)
    assert [one.ordinal for one in found] == [0, 1, 2]
    assert [one.interval for one in found] == [
        Interval(parts[0].interval.start, parts[1].interval.end),
        parts[2].interval,
        Interval(parts[3].interval.start, parts[4].interval.end),
    ]
    assert found[0].key == f"{parts[0].key}..{parts[1].key}"
    assert merged(parts, 1) == tuple(replace(p, ordinal=n) for n, p in enumerate(parts))
