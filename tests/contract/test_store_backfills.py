"""What every store promises about backfills: each of their parts is started once."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.errors import TickLost
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.backfill import (
    Backfill,
    BackfillSpec,
    BackfillState,
    Part,
    PartState,
    claimed_part,
    given_back_part,
)
from dbtorch.core.schedule.ledger import ScheduleKey
from tests.stores import NOON, a_run, after, seen_by

DAILY, OTHER = ScheduleKey("daily", "dev"), ScheduleKey("other", "dev")
FIRST, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)


def a_part(number, **given):
    start = FIRST + number * DAY
    return Part(ordinal=number, key=f"{start:%F}", interval=Interval(start, start + DAY), **given)


def a_backfill(id="b1", key=DAILY, parts=3, **given):
    spec = BackfillSpec(words=("--select", "orders"), max_active=2, partitions=parts)
    return Backfill(
        id=id,
        key=key,
        spec=spec,
        created_at=NOON,
        created_by="ann@host",
        reason="a bug was fixed",
        parts=tuple(map(a_part, range(parts))),
        **given,
    )


def the(store, **how):
    (found,) = store.backfills(**how)
    return found


def claim(store, number=0, token="part:t1"):
    found = the(store)
    part = next(one for one in found.parts if one.ordinal == number)
    mine = claimed_part(part, token=token, server="serve/s1", now=after(1))
    return store.decide_backfill(found, [mine])


def state_of(store, number=0):
    return the(store, over=True, parts=True).parts[number]


def test_what_is_added_is_kept_as_it_is(store):
    assert store.add_backfill(a_backfill()) is None
    assert the(store) == replace(a_backfill(), version=1, counts={PartState.WAITING: 3})
    assert seen_by(store, project_id="acme/other").backfills() == []


def test_a_pipeline_has_one_that_is_not_over(store):
    store.add_backfill(a_backfill())
    there = store.add_backfill(a_backfill("b2"))
    assert (there.id, len(store.backfills())) == ("b1", 1)
    assert store.add_backfill(a_backfill("b3", OTHER)) is None
    first = store.backfills()[0]
    assert store.decide_backfill(first, [], BackfillState.CANCELLED)
    assert store.add_backfill(a_backfill("b2")) is None
    assert [one.id for one in store.backfills()] == ["b2", "b3"]
    assert [one.ended_at is not None for one in store.backfills(over=True)] == [True, False, False]


def test_one_that_is_over_goes_on_only_where_no_other_one_does(store):
    for id in ("b1", "b2"):
        store.add_backfill(a_backfill(id))
        assert store.decide_backfill(store.backfills()[0], [], BackfillState.CANCELLED)
    first, second = store.backfills(over=True)  # as two people see them, who go on with one each
    assert store.decide_backfill(first, [], BackfillState.ACTIVE)
    assert not store.decide_backfill(second, [], BackfillState.ACTIVE)
    assert [one.id for one in store.backfills()] == ["b1"]


def test_of_two_that_go_on_with_one_each_at_once_one_does(store):
    for id in ("b1", "b2"):
        store.add_backfill(a_backfill(id))
        store.decide_backfill(store.backfills()[0], [], BackfillState.CANCELLED)
    for _ in range(10):
        started = threading.Barrier(2)
        went_on = []

        def go_on(one, started=started, went_on=went_on):
            mine = store.apart()
            started.wait()
            went_on.append(mine.decide_backfill(one, [], BackfillState.ACTIVE))

        threads = [threading.Thread(target=go_on, args=(b,)) for b in store.backfills(over=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(went_on) == [False, True]
        store.decide_backfill(store.backfills()[0], [], BackfillState.CANCELLED)


def test_of_many_parts_only_those_that_are_next_are_read(store):
    store.add_backfill(a_backfill(parts=300))
    claim(store, 5)
    found = the(store)
    assert [part.ordinal for part in found.parts[:3]] == [5, 0, 1]
    assert len(found.parts) < 80
    assert found.counts == {PartState.WAITING: 299, PartState.CLAIMED: 1}
    assert len(the(store, parts=True).parts) == 300


def test_of_two_that_have_looked_at_the_same_one_decides(store):
    store.add_backfill(a_backfill())
    found = the(store)
    for token, first in (("part:t1", True), ("part:t2", False)):
        part = claimed_part(found.parts[0], token=token, server="s", now=NOON)
        assert store.decide_backfill(found, [part]) is first
    assert state_of(store).token == "part:t1"


def test_a_run_begins_with_the_claim_alone_and_once(store):
    store.add_backfill(a_backfill())
    claim(store)
    with pytest.raises(TickLost):
        store.begin(a_run("r0"), [], tick="part:nobody")
    assert store.find("r0") == []
    store.begin(a_run("r1"), [], tick="part:t1")
    store.begin(a_run("r1"), [], tick="part:t1")  # planned again
    with pytest.raises(TickLost):
        store.begin(a_run("r2"), [], tick="part:t1")
    assert (state_of(store).state, state_of(store).run_id) == (PartState.STARTED, "r1")
    before = the(store).version
    store.end("r1", RunState.SUCCESS, after(9))
    assert (state_of(store).state, state_of(store).ended_at) == (PartState.DONE, after(9))
    assert the(store).version > before  # who has looked at it before this looks again


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (RunState.FAILED, PartState.FAILED),
        (RunState.GATED, PartState.FAILED),
        (RunState.CANCELLED, PartState.CANCELLED),
    ],
)
def test_a_part_is_over_as_its_run_is(store, end, state):
    store.add_backfill(a_backfill())
    claim(store)
    store.begin(a_run("r1"), [], tick="part:t1")
    store.end("r1", end, after(9))
    assert state_of(store).state is state


def test_a_part_that_was_given_back_is_gone_on_with(store):
    store.add_backfill(a_backfill())
    claim(store)
    store.begin(a_run("r1"), [], tick="part:t1")
    found = the(store)
    started = next(part for part in found.parts if part.run_id)
    store.decide_backfill(found, [given_back_part(started)])
    store.end("r1", RunState.CANCELLED, after(9))  # its driver has told it to end
    assert state_of(store).state is PartState.WAITING
    assert the(store).parts[0].run_id == "r1"
    claim(store, token="part:t2")
    store.begin(a_run("r1"), [], tick="part:t2")
    store.end("r1", RunState.SUCCESS, after(10))
    assert state_of(store).state is PartState.DONE


def test_many_that_claim_at_once_start_each_part_once(store):
    store.add_backfill(a_backfill(parts=8))
    begun, started = [], threading.Barrier(4)

    def work(name):
        started.wait()
        while True:
            found = the(store)
            waiting = [part for part in found.parts if part.state is PartState.WAITING]
            if not waiting:
                return
            token = f"part:{name}-{waiting[0].ordinal}"
            mine = claimed_part(waiting[0], token=token, server=name, now=NOON)
            if store.decide_backfill(found, [mine]):
                store.begin(a_run(token), [], tick=token)
                begun.append(waiting[0].ordinal)

    threads = [threading.Thread(target=work, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == list(range(8))
