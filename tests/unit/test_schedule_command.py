"""`dbtorch schedule`: what is to come, and what has become of what was."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from dbtorch import Project
from dbtorch.adapters.store import open_store
from dbtorch.cli.main import cli
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.ledger import (
    ScheduleChange,
    ScheduleKey,
    SkipReason,
    TickRecord,
    TickState,
)
from tests.stores import NOON, a_run, after

YML = """
pipelines:
  daily:
    schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}
  often:
    schedule: {every: 90m, jitter: 5m, start_date: 2026-03-28, end_date: 2026-03-29, paused: true}
  by_hand: {select: tag:daily}
"""


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "dbtorch.yml").write_text(YML)
    return tmp_path


def schedule(shop, *words):
    done = CliRunner().invoke(cli, ["schedule", "--project-dir", str(shop), *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return str(done.exception)
    return done.output


def test_the_gap_of_spring_in_words_and_offsets(shop):
    """02:30 does not exist on the 29th: that run is at the first instant after the gap."""
    said = schedule(shop, "daily", "--from", "2026-03-28", "--count", "3")
    assert [line.split()[1:5] for line in said.splitlines()[1:]] == [
        ["Sat", "2026-03-28", "02:30:00", "CET"],
        ["Sun", "2026-03-29", "03:00:00", "CEST"],
        ["Mon", "2026-03-30", "02:30:00", "CEST"],
    ]
    words = ("daily", "--from", "2026-03-28T12:00", "--count", "2", "--format", "json")
    assert json.loads(schedule(shop, *words)) == [
        {
            "pipeline": "daily",
            "timezone": "Europe/Berlin",
            "paused": False,
            "pause": None,
            "next": [
                {
                    "run_at": "2026-03-29T03:00:00+02:00",
                    "data_interval_start": "2026-03-28T02:30:00+01:00",
                    "data_interval_end": "2026-03-29T03:00:00+02:00",
                },
                {
                    "run_at": "2026-03-30T02:30:00+02:00",
                    "data_interval_start": "2026-03-29T03:00:00+02:00",
                    "data_interval_end": "2026-03-30T02:30:00+02:00",
                },
            ],
        }
    ]


def test_jitter_and_an_end(shop):
    (often,) = Project(shop).schedule("often", since=datetime(2026, 3, 28, tzinfo=UTC), count=99)
    assert (often.paused, len(often.next)) == (True, 16)
    late = [run.run_at - run.interval.end for run in often.next]
    assert all(timedelta(0) <= one <= timedelta(minutes=5) for one in late)
    assert len(set(late)) > 1
    said = schedule(shop, "often", "--from", "2026-04-01")
    assert said.splitlines()[1].split() == ["often", "(paused)", "never", "again"]


def test_as_many_as_take_seconds(shop):
    words = ["schedule", "--project-dir", str(shop), "--count"]
    refused = CliRunner().invoke(cli, [*words, "10001"])
    assert refused.exit_code == 2
    assert "10001 is not in the range 1<=x<=10000" in refused.output
    assert schedule(shop, "daily", "--count", "10000").count("daily") == 10_000


def test_every_pipeline_with_a_schedule_and_none(shop):
    said = schedule(shop, "--count", "1", "--from", "2026-03-28", "--format", "json")
    assert [one["pipeline"] for one in json.loads(said)] == ["daily", "often"]
    assert schedule(shop, "by_hand").startswith("pipeline by_hand has no schedule; ")
    assert schedule(shop, "by_hand", "--format", "json").strip() == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dayly",), "dbtorch.yml has no pipeline 'dayly'"),
        (("--past", "dayly"), "dbtorch.yml has no pipeline 'dayly'"),
        (("--from", "soon"), "'soon' is no date"),
        (("--count", "0"), "0 is not in the range"),
    ],
)
def test_bad_input(shop, words, said):
    open_store(None, shop).close()
    assert said in schedule(shop, *words)


def remark(line):
    return line.rsplit("  ", 1)[-1].strip()


def test_what_became_of_times(shop):
    assert schedule(shop, "--past").startswith("there is no run history yet in ")
    first = datetime(2026, 3, 1, 6, tzinfo=UTC)
    hour = timedelta(hours=1)
    ticks = [
        TickRecord(
            scheduled_for=first + number * hour,
            interval=Interval(first + (number - 1) * hour, first + number * hour),
            due_at=first + number * hour,
            state=TickState.SKIPPED,
            reason=reason,
        )
        for number, reason in enumerate(SkipReason)
    ]
    queued = replace(ticks[-1], scheduled_for=first + 9 * hour, reason=None, state=TickState.QUEUED)
    begun = first + 8 * hour
    ran = replace(
        queued,
        scheduled_for=begun,
        due_at=begun,
        state=TickState.DONE,
        run_id="r1",
        started_at=begun + timedelta(minutes=3),
    )
    store = open_store(None, shop)
    key = ScheduleKey("daily", "")
    store.decide([ScheduleChange(key=key, version=0, watermark=begun, ticks=(*ticks, ran, queued))])
    store.begin(a_run(), [])
    store.end("r1", RunState.FAILED, after(9))
    store.close()
    assert schedule(shop, "--past", "often").startswith("`dbtorch serve` has not decided")
    lines = schedule(shop, "--past", "--count", "20").splitlines()[1:]
    assert "queued" in lines[0]
    assert remark(lines[1]) == "failed; started 3m 00s late"
    assert lines[1].split()[4:6] == ["ran", "r1"]
    assert [remark(line) for line in lines[2:]] == [
        "the pipeline was removed, or lost its schedule",
        "a newer time took its place in the queue",
        "nothing starts in that window",
        "the pipeline was paused",
        "missed, and not caught up with",
        "the run before was still going on",
    ]
    assert lines[1].split()[1:4] == ["2026-03-01", "15:00:00", "CET"]  # the schedule's own zone
    (shop / "dbtorch.yml").write_text(YML.replace("Europe/Berlin", "America/New_York"))
    assert schedule(shop, "--past").splitlines()[2].split()[2:4] == ["09:00:00", "EST"]
    (shop / "dbtorch.yml").write_text("pipelines: {daily: {select: tag:daily}}\n")
    assert schedule(shop, "--past").splitlines()[2].split()[2:4] == ["14:00:00", "UTC"]
    (shop / "dbtorch.yml").write_text(YML)
    told = json.loads(schedule(shop, "--past", "--count", "2", "--format", "json"))
    assert told[1] == {
        "pipeline": "daily",
        "timezone": "Europe/Berlin",
        "scheduled_for": "2026-03-01T15:00:00+01:00",
        "data_interval_start": "2026-03-01T11:00:00+01:00",
        "data_interval_end": "2026-03-01T12:00:00+01:00",
        "state": "done",
        "reason": None,
        "run_id": "r1",
        "run_state": "failed",
        "started_at": "2026-03-01T15:03:00+01:00",
        "late_seconds": 180.0,
        "note": None,
    }


def test_a_run_that_was_pruned_is_not_said_to_have_succeeded(shop):
    interval = Interval(NOON - timedelta(hours=1), NOON)
    tick = TickRecord(
        scheduled_for=NOON, interval=interval, due_at=NOON, state=TickState.DONE, run_id="r1"
    )
    with closing(open_store(None, shop)) as store:
        key = ScheduleKey("daily", "")
        store.decide([ScheduleChange(key=key, version=0, watermark=NOON, ticks=(tick,))])
    (line,) = schedule(shop, "--past").splitlines()[1:]
    assert remark(line) == "the history does not have its run any more"


def test_who_has_paused_what_since_when_and_why(shop):
    Project(shop).pause("daily", reason="the warehouse moves")
    (daily, often) = Project(shop).schedule(count=1)
    (pause,) = [one.pause for one in (daily, often) if one.pause is not None]
    assert (daily.pause, daily.paused, often.pause, often.paused) == (pause, False, None, True)
    said = schedule(shop, "--count", "1", "--from", "2026-03-28")
    since = f"{pause.at.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M:%S %Z}"
    assert said.splitlines()[1].startswith("daily (paused)  Sat 2026-03-28 02:30:00 CET")
    assert said.splitlines()[3:] == [
        "",
        f"pipeline daily is paused by {pause.by} since {since}: the warehouse moves",
        "pipeline often is paused by `paused: true` in dbtorch.yml",
    ]
    told = json.loads(schedule(shop, "daily", "--format", "json"))[0]
    assert datetime.fromisoformat(told["pause"].pop("since")) == pause.at
    assert told["pause"] == {"by": pause.by, "reason": "the warehouse moves"}
    assert told["paused"] is True
    Project(shop).resume("daily")
    assert schedule(shop, "daily").count("paused") == 0


def test_a_history_that_does_not_answer_is_no_pause_and_no_resumption(shop):
    said = schedule(shop, "--database-url", "sqlite:///nowhere/there.db")
    assert said.startswith("PIPELINE")  # there is none yet: nobody can have paused anything
    (shop / "broken.db").write_text("no database at all, but long enough to be looked into")
    assert "broken.db" in schedule(shop, "--database-url", "sqlite:///broken.db")


def test_no_dbt_and_no_history_is_needed(shop):
    code = (
        "import sys; from dbtorch.cli.main import cli;"
        f"cli(['schedule', '--project-dir', {str(shop)!r}], standalone_mode=False);"
        "print([m for m in ('dbt', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert not (shop / ".dbtorch").exists()
