"""How old things are, and what is to be thought of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.config import PipelineSpec
from dbtorch.core.history.health import Health, built_item, pipeline_item, source_item
from dbtorch.core.history.records import AttemptRecord, NodeRecord, RunSummary
from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.reason import Reason
from dbtorch.core.model.state import RunState, State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = 3600.0
MART = Node(id="model.shop.mart", kind=Kind.MODEL, name="mart")
ORDERS = Node(id="source.shop.raw.orders", kind=Kind.SOURCE, name="raw.orders")


def ago(hours):
    return NOW - timedelta(hours=hours)


def a_run(hours, state=RunState.SUCCESS, pipeline="daily", partial=False):
    return RunSummary(
        run_id=f"run{hours}", pipeline=pipeline, target="dev", logical_date=ago(hours),
        state=state, started_at=ago(hours), finished_at=None, counts={}, partial=partial,
    )  # fmt: skip


FAILED, RUNNING, CANCELLED = RunState.FAILED, RunState.RUNNING, RunState.CANCELLED


@pytest.mark.parametrize(
    ("runs", "max_age", "alive", "health", "why"),
    [
        ([], None, False, "unknown", "never run on this target"),
        ([], 26, False, "stale", "no run of it succeeded yet"),
        ([a_run(25)], None, False, "ok", ""),
        ([a_run(25)], 26, False, "ok", ""),
        ([a_run(27)], 26, False, "stale", "27 h old, allowed 26 h"),
        ([a_run(27), a_run(99, pipeline="weekly")], None, False, "ok", ""),
        ([a_run(25), a_run(1, FAILED)], 26, False, "failed", "run run1 failed"),
        # both are said, and old is what somebody is told of
        ([a_run(27), a_run(1, FAILED)], 26, False, "stale",
         "27 h old, allowed 26 h; run run1 failed"),
        ([a_run(3, FAILED), a_run(1)], 26, False, "ok", ""),
        ([a_run(1, FAILED)], 26, False, "stale", "no run of it succeeded yet; run run1 failed"),
        ([a_run(25), a_run(1, RUNNING)], 26, True, "ok", "run run1 is running"),
        ([a_run(25), a_run(1, RUNNING)], 26, False, "failed", "run run1 was interrupted"),
        ([a_run(25), a_run(1, CANCELLED)], 26, False, "ok", "run run1 was cancelled"),
        # what goes on, or was cancelled, has mended nothing yet
        ([a_run(2, FAILED), a_run(1, RUNNING)], None, True, "failed",
         "run run2 failed; run run1 is running"),
        ([a_run(2, FAILED), a_run(1, CANCELLED)], None, False, "failed",
         "run run2 failed; run run1 was cancelled"),
        ([a_run(1, CANCELLED)], None, False, "unknown", "run run1 was cancelled"),
        # what waits for its sources is not done, and no success
        ([a_run(1, RunState.GATED)], None, False, "gated",
         "run run1 was gated: what waits for its sources did not run"),
        ([a_run(27), a_run(1, RunState.GATED)], 26, False, "stale",
         "27 h old, allowed 26 h; run run1 was gated: what waits for its sources did not run"),
        # a run of a part says nothing of the pipeline, whatever it came to
        ([a_run(2, FAILED), a_run(1, partial=True)], None, False, "failed",
         "run run2 failed; run run1 was of a part only"),
        ([a_run(2), a_run(1, FAILED, partial=True)], None, False, "ok",
         "run run1 was of a part only"),
        ([a_run(27), a_run(1, partial=True)], 26, False, "stale",
         "27 h old, allowed 26 h; run run1 was of a part only"),
        ([a_run(1, partial=True)], None, False, "unknown",
         "never run on this target; run run1 was of a part only"),
    ],
)  # fmt: skip
def test_a_pipeline_is_as_well_as_its_last_runs(runs, max_age, alive, health, why):
    spec = PipelineSpec(name="daily", max_age=max_age and max_age * HOUR)
    item = pipeline_item(spec, runs, NOW, alive=alive)
    assert (item.health, item.why, item.label) == (health, why, "pipeline daily")


def an_end(state, reason=""):
    return NodeRecord(
        id=MART.id, kind=Kind.MODEL, name="mart", state=state, reason=Reason.said(reason)
    )


@pytest.mark.parametrize(
    ("since", "max_age", "last", "health", "why"),
    [
        (1, None, None, "ok", ""),
        (999, None, None, "ok", ""),  # nobody said how old it may be
        (None, None, None, "unknown", "never built on this target"),
        (None, 24, None, "stale", "never built on this target"),
        (24, 24, None, "ok", ""),
        (31, 24, None, "stale", "31 h old, allowed 24 h"),
        (1, 24, an_end(State.SUCCESS), "ok", ""),
        # nobody said that an older table will do
        (1, None, an_end(State.FAILED, "no column x"), "failed",
         "in its last run failed: no column x"),
        (None, None, an_end(State.FAILED), "failed", "in its last run failed"),
        # yesterday's table may do, and it is said what happened since
        (1, 24, an_end(State.FAILED, "no column x\nmore"), "ok",
         "in its last run failed: no column x"),
        (31, 24, an_end(State.UPSTREAM_FAILED), "stale",
         "31 h old, allowed 24 h; in its last run upstream failed"),
    ],
)  # fmt: skip
def test_what_is_built_is_as_well_as_its_last_success_is_young(since, max_age, last, health, why):
    at = None if since is None else ago(since)
    item = built_item(MART, max_age and max_age * HOUR, at, last, NOW)
    assert (item.health, item.why, item.since) == (health, why, at)
    assert item.healthy is {"ok": True, "unknown": None}.get(health, False)


def a_check(status, hours, checked=0.0, message="said by dbt\nand more"):
    return AttemptRecord(
        number=1, state=State.SUCCESS, queued_at=ago(checked), finished_at=ago(checked),
        message=message,
        details={"source": {
            "status": status, "max_loaded_at": hours and ago(hours).isoformat(),
            "max_loaded_at_time_ago_in_s": hours and hours * HOUR,
        }},
    )  # fmt: skip


LIMITS = Thresholds(warn_after=12 * HOUR, error_after=24 * HOUR)


@pytest.mark.parametrize(
    ("check", "limits", "health", "why"),
    [
        (None, LIMITS, "unknown", "never checked on this target"),
        (a_check("pass", 1), LIMITS, "ok", ""),
        (a_check("warn", 13), LIMITS, "late", "said by dbt"),
        (a_check("error", 31), LIMITS, "stale", "said by dbt"),
        (a_check("runtime error", None), LIMITS, "stale", "said by dbt"),  # dbt cannot tell
        # it may be fresh still, or not: nobody has looked
        (a_check("pass", 25, checked=20), LIMITS, "unknown",
         "it was fresh when it was checked 20 h ago"),
        (a_check("pass", 23, checked=20), LIMITS, "ok", ""),
        (a_check("pass", 999, checked=998), None, "ok", ""),  # no limit is known
        (a_check("pass", -999), LIMITS, "stale", "said by dbt"),  # dated in the future
        (AttemptRecord(number=1, state=State.FAILED, queued_at=NOW, message="gone"), LIMITS,
         "stale", "gone"),
    ],
)  # fmt: skip
def test_a_source_is_as_well_as_the_last_check_said(check, limits, health, why):
    item = source_item(ORDERS, limits, check, NOW)
    assert (item.health, item.why) == (health, why)


@pytest.mark.parametrize("written", [None, 7, "soon", "0001-01-01T00:00:00+00:00", "2026-03-01"])
def test_a_time_that_says_nothing_is_no_age(written):
    check = AttemptRecord(
        number=1, state=State.SUCCESS, queued_at=NOW, finished_at=NOW,
        details={"source": {"status": "pass", "max_loaded_at": written}},
    )  # fmt: skip
    item = source_item(ORDERS, LIMITS, check, NOW)
    assert (item.health, item.age) == (Health.OK, None)
