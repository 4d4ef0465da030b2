"""What every store promises about which partitions are built."""

from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.model.events import Attempt, Changed, MicrobatchBuilt, MicrobatchesPlanned
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState, State
from tests.stores import a_node, a_run, after, seen_by

DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
MODEL, STEP, TEST = "model.shop.orders", "step.load", "test.shop.unique"
PIPELINE = "pipeline.daily"
NODES = (MODEL, STEP, TEST)


def a_day(number):
    return Interval(FIRST + number * DAY, FIRST + (number + 1) * DAY)


def begin(store, day=0, run_id="r1", checksum="c1", **given):
    interval = a_day(day)
    values = {
        "pipeline": "daily",
        "partition": f"{interval.start:%Y-%m-%d}",
        "data_interval_start": interval.start,
        "data_interval_end": interval.end,
        **given,
    }
    nodes = [a_node(id, checksum=checksum, materialized="incremental") for id in NODES]
    store.begin(a_run(run_id, **values), nodes)


def change(node, *states, seconds=1):
    """An attempt at a node, from one state to the next."""
    path = (State.PENDING, *states)
    return [
        Changed(node_id=node, attempt=1, before=before, state=state, at=after(seconds))
        for before, state in zip(path, states, strict=False)
    ]


def ran(node, end=State.SUCCESS, **given):
    return change(node, State.QUEUED, State.RUNNING, end, **given)


def entries(store, *nodes, place="dev"):
    found = store.entries(
        place, nodes or (MODEL, STEP, TEST, PIPELINE), since=FIRST, until=FIRST + 90 * DAY
    )
    return {(one.node_id, one.interval): (one.built.value, one.run_id) for one in found}


def test_a_run_of_a_partition_says_what_is_built(store):
    begin(store)
    assert entries(store) == {(PIPELINE, a_day(0)): ("running", "r1")}
    store.record("r1", [*ran(MODEL), *change(STEP, State.QUEUED, State.RUNNING), *ran(TEST)])
    assert entries(store, *NODES) == {
        (MODEL, a_day(0)): ("done", "r1"),
        (STEP, a_day(0)): ("running", "r1"),
    }
    store.record(
        "r1",
        [Changed(node_id=STEP, attempt=1, before=State.RUNNING, state=State.FAILED, at=after(2))],
    )
    store.end("r1", RunState.FAILED, after(3))
    assert entries(store, STEP, PIPELINE) == {
        (STEP, a_day(0)): ("failed", "r1"),
        (PIPELINE, a_day(0)): ("failed", "r1"),
    }
    (found,) = store.entries("dev", [MODEL], since=FIRST, until=FIRST + DAY)
    assert (found.checksum, found.at) == ("c1", after(1))


def test_what_was_built_last_counts_and_what_was_not_executed_changes_nothing(store):
    begin(store)
    store.record("r1", ran(MODEL))
    begin(store, run_id="r2", checksum="c2")
    store.record("r2", change(MODEL, State.UPSTREAM_FAILED, seconds=9))
    assert entries(store, MODEL) == {(MODEL, a_day(0)): ("done", "r1")}
    store.record("r2", ran(MODEL, State.WARN, seconds=9))
    (found,) = store.entries("dev", [MODEL], since=FIRST, until=FIRST + DAY)
    assert (found.run_id, found.checksum, found.built) == ("r2", "c2", "done")


def test_a_part_of_a_pipeline_is_no_whole_run(store):
    begin(store, partial=True)
    store.record("r1", ran(MODEL))
    store.end("r1", RunState.SUCCESS, after(3))
    assert entries(store) == {(MODEL, a_day(0)): ("done", "r1")}


def test_a_run_without_a_partition_is_not_asked(store):
    begin(store, partition="")
    store.record("r1", ran(MODEL))
    store.end("r1", RunState.SUCCESS, after(3))
    assert entries(store) == {}
    begin(store, run_id="r2", partition="-")  # but for models that have partitions of their own
    store.record("r2", ran(MODEL))
    store.end("r2", RunState.SUCCESS, after(3))
    assert entries(store) == {(MODEL, a_day(0)): ("done", "r2")}


def test_only_what_touches_the_span_and_is_of_the_place_and_project_is_found(store):
    for day in range(4):
        begin(store, day, f"r{day}")
        store.record(f"r{day}", ran(MODEL))
    found = store.entries("dev", [MODEL], since=FIRST + DAY, until=FIRST + 3 * DAY)
    assert [one.run_id for one in found] == ["r1", "r2"]
    assert entries(store, MODEL, place="prod") == {}
    assert entries(seen_by(store, project_id="acme/other"), MODEL) == {}


def test_they_stay_when_their_run_is_removed(store):
    begin(store)
    store.record("r1", ran(MODEL))
    store.end("r1", RunState.FAILED, after(3))
    begin(store, 1, "r2", started_at=after(4))
    store.end("r2", RunState.SUCCESS, after(5))
    assert "r1" in store.prune(after(99), most=9)
    assert entries(store, MODEL) == {(MODEL, a_day(0)): ("done", "r1")}


# -------------------------------------------------------------------- microbatches


def window(hour):
    start = FIRST + timedelta(hours=hour)
    return start, start + timedelta(hours=1)


def plan(*hours):
    return MicrobatchesPlanned(Attempt(MODEL, 1), tuple(map(window, hours)))


def built(hour):
    return MicrobatchBuilt(Attempt(MODEL, 1), window(hour))


@pytest.mark.parametrize("partition", ["2026-03-01", ""])  # whatever run builds them
def test_batches_are_partitions_of_their_model(store, partition):
    begin(store, partition=partition)
    store.record("r1", change(MODEL, State.QUEUED, State.RUNNING))
    store.note("r1", [plan(0, 1, 2)])
    hours = [Interval(*window(hour)) for hour in range(3)]
    assert entries(store, MODEL) == {(MODEL, hour): ("running", "r1") for hour in hours}
    store.note("r1", [built(1), built(0), built(9)])  # the last one was never planned
    failed = Changed(
        node_id=MODEL, attempt=1, before=State.RUNNING, state=State.FAILED, at=after(2)
    )
    store.record("r1", [failed])
    assert entries(store, MODEL) == {
        (MODEL, hours[0]): ("done", "r1"),
        (MODEL, hours[1]): ("done", "r1"),
        (MODEL, hours[2]): ("failed", "r1"),
    }


@pytest.mark.parametrize("kind", [Kind.MODEL, Kind.STEP])
def test_a_table_that_is_built_from_nothing_has_no_other_partitions(store, kind):
    node = MODEL if kind is Kind.MODEL else STEP
    for day in range(2):
        begin(store, day, f"r{day}")
        store.record(f"r{day}", ran(node))
    begin(store, 2, "r2", dbt_args=("--full-refresh",))
    store.record("r2", ran(node))
    kept = {a_day(2): "r2"} if kind is Kind.MODEL else {a_day(n): f"r{n}" for n in range(3)}
    assert {name[1]: run for name, (_, run) in entries(store, node).items()} == kept


def test_batches_that_are_built_from_nothing_are_all_there_are(store):
    for run_id, hours, args in (("r1", (0, 1), ()), ("r2", (5,), ("--full-refresh",))):
        begin(store, run_id=run_id, partition="", dbt_args=args)
        store.note(run_id, [plan(*hours), *map(built, hours)])
    assert entries(store, MODEL) == {(MODEL, Interval(*window(5))): ("done", "r2")}


def test_a_run_of_the_past_does_not_say_how_its_pipeline_stands(store):
    begin(store, run_id="r1", trigger="scheduled")
    store.end("r1", RunState.SUCCESS, after(3))
    begin(store, 1, "r2", trigger="backfill", started_at=after(60))
    store.end("r2", RunState.SUCCESS, after(63))
    assert [run.run_id for run in store.standing("dev").runs] == ["r1"]
