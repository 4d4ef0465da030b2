"""What a backfill chooses by the ledger, in which order, and what it says of that."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from dbtorch.cli.text.backfills import backfills_text, plan_text
from dbtorch.cli.text.partitions import partitions_text
from dbtorch.core.config import Origin, PipelineSpec
from dbtorch.core.errors import NothingToDo, UsageError
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.backfill import PartState
from dbtorch.core.schedule.coverage import PartitionStatus, Status
from dbtorch.core.schedule.ledger import ScheduleKey
from dbtorch.core.schedule.partition import Grain, PartitionSpec
from dbtorch.service.project.options import RunOptions
from dbtorch.service.schedule.backfill import BackfillRequest, _planned, begin_backfill
from dbtorch.service.schedule.backfills import progress
from dbtorch.service.schedule.partitions import PartitionTable
from dbtorch.testing.store import MemoryStore
from tests.stores import a_run, after
from tests.unit.serving import SHOP

FIRST, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
DAILY = PartitionSpec(by=Grain.DAY, start=FIRST)
ORDERS = Node(id="model.shop.orders", kind=Kind.MODEL, name="orders", splits=True)
LAND = Node(id="step.land", kind=Kind.STEP, name="land")

#: How the first days of March stand; the fourth of them waits for late data besides.
STANDS = (
    Status.DONE,
    Status.STALE,
    Status.LATE,
    Status.STALE,
    Status.MISSING,
    Status.FAILED,
    Status.RUNNING,
    Status.MISSING,
)


class Asked:
    """A pipeline whose partitions stand in a way."""

    place = "dev (x)"
    target = "dev"

    def __init__(self, stands=STANDS, nodes=(ORDERS,), type="postgres", **given):
        self.store, self.stands = MemoryStore(SHOP), stands
        self.now = FIRST + len(stands) * DAY
        origin = Origin(file="dbtorch.yml", line=3)
        given = {"partition": DAILY, "origin": origin, **given}
        self.pipeline = PipelineSpec(name="daily", **given)
        graph = Graph(nodes, [])
        plan = SimpleNamespace(graph=graph, expected={})
        selected = SimpleNamespace(target={"type": type, "path": "x.db"})
        self.opened = SimpleNamespace(planned=SimpleNamespace(plan=plan), selected=selected)

    def statuses(self, wanted, nodes, *, lookback, whole):
        assert whole
        return tuple(
            PartitionStatus(
                partition=one,
                status=self.stands[(one.start - FIRST) // DAY],
                late=(one.start - FIRST) // DAY in (2, 3),
            )
            for one in wanted
        )

    def plan(self, **request):
        return _planned(self, RunOptions(environ={}), BackfillRequest(**request))


@pytest.mark.parametrize(
    ("request_", "days"),
    [
        ({}, [5, 8]),
        ({"reprocess": "failed"}, [5, 6, 8]),
        ({"reprocess": "completed"}, [1, 2, 3, 4, 5, 6, 8]),  # never what is running
        ({"only": frozenset({Status.MISSING})}, [5, 8]),
        ({"only": frozenset({Status.FAILED})}, [6]),
        ({"only": frozenset({Status.STALE})}, [2, 4]),
        ({"only": frozenset({Status.STALE, Status.FAILED})}, [2, 4, 6]),
        ({"late": True}, [3, 4]),
        ({"late": True, "only": frozenset({Status.FAILED})}, [3, 4, 6]),
        ({"first": "2026-03-06"}, [8]),
        ({"first": "2026-03-01", "last": "2026-03-06"}, [5]),
        ({"reprocess": "failed", "reverse": True}, [8, 6, 5]),
    ],
    ids=str,
)
def test_it_chooses_by_the_ledger(request_, days):
    plan = Asked().plan(**request_)
    assert [part.key for part in plan.parts] == [f"2026-03-0{day}" for day in days]
    assert [part.ordinal for part in plan.parts] == [*range(len(days))]
    assert plan.key == ScheduleKey("daily", "dev (x)")


def test_adjoining_partitions_are_merged_the_newest_first_where_that_is_asked():
    found = Asked().plan(reprocess="completed", merge=3, reverse=True)
    assert [part.key for part in found.parts] == [
        "2026-03-08",
        "2026-03-04..2026-03-06",
        "2026-03-01..2026-03-03",
    ]
    assert (found.partitions, len(found.parts)) == (7, 3)


@pytest.mark.parametrize(
    ("asked", "request_", "why"),
    [
        (Asked(partition=None), {}, "daily has no partitions to fill"),
        (Asked(nodes=()), {}, "leave nothing of pipeline daily to run"),
        (Asked(nodes=(ORDERS, LAND)), {"merge": 2}, "--exclude step:land"),
        (Asked(vars={"day": "{{ run.partition }}"}), {"merge": 2}, "to variable day of pipeline"),
        (Asked(nodes=(replace(ORDERS, splits=False),)), {"merge": 2}, "for microbatch models"),
        (Asked(), {"first": "2026-03-05", "last": "2026-03-02"}, "swap them"),
        (Asked(), {"first": "2026-04-01"}, "is not over yet"),
        (Asked(), {"last": "2026-02-02"}, "before the first partition .* which is 2026-03-01"),
        (Asked(), {"first": "2026-02-02"}, "before the first partition .* which is 2026-03-01"),
        (Asked(), {"first": "tomorrow"}, "is no partition of pipeline daily"),
    ],
    ids=lambda one: "" if isinstance(one, Asked) else str(one),
)
def test_what_cannot_be_filled_is_refused_in_a_sentence(asked, request_, why):
    with pytest.raises(UsageError, match=why):
        asked.plan(**request_)


def test_where_there_is_nothing_to_do_it_says_of_what():
    with pytest.raises(NothingToDo, match="no partition of pipeline daily is missing; --reprocess"):
        Asked([Status.DONE] * 3).plan()
    with pytest.raises(NothingToDo, match="is stale or late \\(`dbtorch partitions daily`"):
        Asked([Status.MISSING]).plan(only=frozenset({Status.STALE}), late=True)


def test_one_process_writes_a_database_file():
    found = Asked(type="duckdb").plan(max_active=4)
    assert found.request.max_active == 1
    assert found.notes == ("one run at a time: one process writes a database file",)
    assert Asked().plan(max_active=4).request.max_active == 4


def test_it_says_what_runs_how_long_that_takes_and_what_it_touches():
    asked = Asked(nodes=(LAND, ORDERS))
    assert plan_text(asked.plan(reprocess="completed")).splitlines() == [
        "7 runs of pipeline daily on target dev: 2026-03-01 to 2026-03-08",
        "  because   1 done, 2 stale, 1 late, 2 missing, 1 failed",
        "  touches   land, orders",
        "  left out  1 partition in between, done or running",
        "  takes     nobody knows: no run of it has succeeded yet",
    ]
    for number, seconds in enumerate((60, 120, 180)):
        run = a_run(f"r{number}", pipeline="daily")
        asked.store.begin(run, [])
        asked.store.end(run.run_id, RunState.SUCCESS, after(seconds))
    found = asked.plan(reprocess="completed", max_active=2)
    assert plan_text(found).splitlines()[-1] == (
        "  takes     about 8m 00s: by history 2m 00s a run"
    )
    begun = begin_backfill(asked.store, found)
    with pytest.raises(UsageError, match=f"backfill {begun.id} of pipeline daily goes on"):
        begin_backfill(asked.store, found)
    part = replace(begun.parts[0], state=PartState.FAILED, note="no disk")
    (known,) = asked.store.backfills(parts=True)
    asked.store.decide_backfill(known, [part])
    head, row, failed, nobody = backfills_text(progress(asked.store)).splitlines()
    assert head.split() == ["BACKFILL", "PIPELINE", "STATE", "DONE", "FAILED", "ETA", "SINCE", "BY"]
    assert row.split()[:5] == [begun.id, "daily", "active", "0/7", "1"]
    assert failed == f"{begun.id}: 2026-03-01 failed: no disk"
    assert "nobody drives it" in nobody


def test_how_long_it_takes_knows_how_many_run_at_once():
    plan = Asked().plan(reprocess="completed", max_active=64)
    plan = replace(plan, parts=(plan.parts * 16)[:16], seconds_each=60.0)
    assert plan.seconds == 120  # eight at once, whatever is asked for
    alone = replace(plan, request=replace(plan.request, max_active=1))
    assert alone.seconds == 16 * 60


def test_a_calendar_has_a_mark_for_each_partition():
    asked = Asked()
    found = asked.plan(reprocess="completed").chosen
    table = PartitionTable(
        of="pipeline daily", by=Grain.DAY, timezone="UTC", target="dev", place="x", found=found
    )
    head, _, calendar, _, names, *rows = partitions_text(table).splitlines()
    assert head == (
        "pipeline daily by day (UTC), target dev: # 1 done, o 2 done by older code, l 1 late data,"
        " . 2 missing, x 1 failed"
    )
    assert calendar == "2026-03  #olo.x."
    assert names.split("  ")[0] == "PARTITION"
    assert [row.split()[0] for row in rows] == [f"2026-03-0{day}" for day in (8, 6, 5, 4, 3, 2)]
    assert partitions_text(replace(table, found=())) == "no partition of pipeline daily is over yet"
