"""Plain lines, JSON lines, and the summary as text."""

import io
import json
import os
from datetime import UTC, timedelta

import pytest

from dbtorch.cli.live.json_lines import JsonLines
from dbtorch.cli.live.output import Output
from dbtorch.cli.live.plain_lines import PlainLines
from dbtorch.cli.text.summary import summary_text
from dbtorch.core.failures.message import first_line, gist
from dbtorch.core.history.summary import summarize
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import State
from dbtorch.core.text.phrases import ago, calm, many, took, without_login
from dbtorch.testing import FixedClock
from tests.unit.story import LOST, NOON, Told, broken_shop, model, plan


def played(told, renderer_of, stream=None):
    """What a renderer wrote about a run."""
    stream = stream or io.StringIO()
    renderer = renderer_of(Output(stream), FixedClock(NOON))
    renderer.start(told.plan, told.record)
    for now, changes in told.turns:
        renderer.changed(changes)
        renderer.tick(now)
    return stream.getvalue()


def plain(output, clock):
    return PlainLines(output, clock, UTC)


def test_a_log_has_one_line_per_end_retry_and_failure():
    assert played(broken_shop(), plain).splitlines() == [
        "12:00:00  START     9 nodes on target dev, pipeline daily, times in UTC, run 20260301T120000Z-aaaaaa",
        "12:00:01  RETRY     step ingest_rates       1.00s  [0/9]  attempt 1 of 3, retry now: connection lost",
        "12:00:02  OK        step ingest_rates       1.00s  [1/9]  attempt 2",
        "12:00:04  OK        model stg_rates         1.00s  [2/9]",
        "12:00:06  OK        step ingest_orders      6.00s  [3/9]",
        "12:00:07  OK        model stg_orders        1.00s  [4/9]",
        "12:00:08  WARN      test not_null_orders    1.00s  [5/9]  Got 3 results, configured to warn if != 0",
        '12:00:10  FAIL      model fct_orders        2.50s  [6/9]  attempt 1 of 1: Binder Error: column "amont" not found',
        "12:00:10  UPSTREAM  model fct_kpis                 [7/9]  model.shop.fct_orders failed",
        "12:00:10  UPSTREAM  test unique_kpis               [8/9]  model.shop.fct_orders failed",
        "12:00:10  UPSTREAM  step export_kpis               [9/9]  model.shop.fct_orders failed",
    ]


def test_only_failures_of_the_session_are_told():
    text = played(Told({"session.open": [LOST, LOST]}), plain)
    assert "RETRY     dbt session opens" in text
    assert "FAIL      dbt session opens" in text
    assert text.count("dbt session opens") == 2


def test_a_node_that_takes_its_time_is_mentioned_less_and_less_often():
    told = Told(seconds={"step.ingest_orders": [3000.0]}, until=NOON + timedelta(minutes=30))
    stream = io.StringIO()
    view = plain(Output(stream), FixedClock(NOON))
    view.start(told.plan, told.record)
    view.changed(told.changes)
    for second in range(1, 1801):
        view.tick(NOON + timedelta(seconds=second))
    reminders = [line for line in stream.getvalue().splitlines() if "still running" in line]
    assert [line.split()[4] for line in reminders] == ["30s", "1m", "2m", "4m"] + [
        f"{minutes}m" for minutes in (8, 12, 16, 20, 24, 28)
    ]
    assert reminders[0].startswith("12:00:30  RUN       step ingest_orders")


def test_a_cancelled_run_does_not_list_what_never_started():
    told = Told(seconds={"step.ingest_orders": [100.0]}, until=NOON + timedelta(seconds=3))
    stream = io.StringIO()
    view = plain(Output(stream), FixedClock(NOON))
    view.start(told.plan, told.record)
    view.changed(told.changes)
    view.changed(told.run.cancel(Reason(ReasonKind.SIGNAL, text="SIGINT"), told.now))
    (line,) = [line for line in stream.getvalue().splitlines() if "STOP" in line]
    assert line.startswith("12:00:03  STOP      6 nodes ")
    assert line.endswith("not started: the run got SIGINT")


def test_a_resumed_run_counts_what_was_done_before():
    earlier = broken_shop().kept()
    again = Told(nodes=earlier.nodes)
    assert "9 nodes on target dev, 5 done before" in played(again, plain)


def test_a_run_that_is_planned_anew_keeps_what_it_has():
    stream = io.StringIO()
    view = plain(Output(stream), FixedClock(NOON))
    told = Told(until=NOON + timedelta(seconds=3))
    view.start(told.plan, told.record)
    view.changed(told.changes)
    view.start(told.plan, told.record)
    assert "9 nodes on target dev, 3 done before" in stream.getvalue()


def test_every_json_line_is_an_object_with_time_event_and_run():
    told = broken_shop()
    stream = io.StringIO()
    view = JsonLines(Output(stream), FixedClock(NOON))
    view.note("early", level="warning")
    view.start(told.plan, told.record)
    view.changed(told.changes)
    view.finish(summarize(told.kept()))
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all({"ts", "event", "run_id"} <= line.keys() for line in found)
    assert {line["event"] for line in found} == {
        "note",
        "run_started",
        "node",
        "session",
        "run_finished",
    }
    retry = next(line for line in found if line.get("state") == "up_for_retry")
    assert (retry["node_id"], retry["attempt"]) == ("step.ingest_rates", 1)
    assert (retry["failure_class"], retry["reason"]) == ("transient", "connection lost")
    assert found[-1]["state"] == "failed"
    assert found[-1]["counts"] == {"success": 4, "warn": 1, "failed": 1, "upstream_failed": 3}


def test_json_lines_are_one_line_whatever_a_message_holds():
    nasty = "a\nb\u2028c\x00\x1b[31m ü"
    told = Told(a_plan=plan([model("m")], []))
    stream = io.StringIO()
    view = JsonLines(Output(stream), FixedClock(NOON))
    view.start(told.plan, told.record)
    view.note(nasty, level="info")
    assert json.loads(stream.getvalue().splitlines()[-1])["message"] == nasty


def test_the_summary_of_a_failed_run_tells_what_to_do():
    text = summary_text(summarize(broken_shop().kept(), log_path="/x/{}/{}.log".format))
    assert "FAIL  model fct_orders (models/marts/fct_orders.sql)" in text
    assert "tried    1 attempt, code failure" in text
    assert "owner    ana" in text
    assert "runbook  docs/fct.md" in text
    assert "log      /x/model.shop.fct_orders/1.log" in text
    assert "behind   3 nodes upstream failed: fct_kpis, export_kpis, unique_kpis\n" in text
    assert text.count("upstream failed") == 2  # there, and among the counts
    assert "Not run" not in text
    assert "Succeeded after a retry: step ingest_rates (attempt 2)" in text
    assert "Critical path: 10.5s, 91% of the wall time: step ing" in text
    assert "dbtorch retry --project-dir 'my shop'" in text
    assert "dbtorch logs latest fct_orders --project-dir 'my shop'" in text
    assert "\x1b" not in text


def test_the_summary_of_a_green_run_is_short():
    text = summary_text(summarize(Told(command=("dbtorch", "run", "-t", "ci")).kept()))
    slowest, critical, *end = text.splitlines()
    assert slowest.startswith("Slowest nodes: step ingest_orders (1.00s), ")
    assert critical.startswith("Critical path: 7.00s, 88% of the wall time: step ingest_")
    assert end == [
        "",
        "Run 20260301T120000Z-aaaaaa succeeded in 8.00s",
        "  9 success",
        "",
        "What to look at next",
        "  dbtorch show latest  every node and attempt of this run",
        "  dbtorch graph -t ci  what comes before what",
    ]


def test_five_hundred_skipped_nodes_are_one_line():
    blocked = [model(f"m{i}") for i in range(500)]
    edges = [("model.shop.root", node.id) for node in blocked]
    told = Told({"model.shop.root": [LOST] * 3}, a_plan=plan([model("root"), *blocked], edges))
    text = summary_text(summarize(told.kept()))
    assert "behind   500 nodes upstream failed: m0, m1, m2, m3, m4 and 495 more" in text
    assert len(text.splitlines()) < 30


def test_a_session_that_failed_is_called_dbt_session():
    text = summary_text(summarize(Told({"session.open": [LOST, LOST]}).kept()))
    assert "FAIL  dbt session\n" in text
    assert "behind   7 nodes upstream failed: " in text
    assert "dbtorch logs latest session.open" in text


def test_a_view_goes_quiet_when_its_reader_leaves():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        output = Output(stream)
        output.line("nobody hears this")
        assert not output.open
        output.line("nor this")
    # Leaving the block flushes and closes the stream; that it raises nothing is the point.


def test_a_closed_stream_is_no_error():
    stream = io.StringIO()
    stream.close()
    Output(stream).line("gone")


def test_what_an_encoding_does_not_know_is_replaced():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Output(stream).line("größer → 1")
    assert raw.getvalue() == b"gr??er ? 1\n"


@pytest.mark.parametrize(
    ("seconds", "exact", "rounded"),
    [
        (0, "0.00s", "0s"),
        (-0.1, "0.00s", "0s"),  # clocks step back
        (0.423, "0.42s", "0s"),
        (9.999, "10.0s", "10s"),  # no "10.00s"
        (12.34, "12.3s", "12s"),
        (59.99, "1m 00s", "1m 00s"),  # no "60.0s"
        (125, "2m 05s", "2m 05s"),
        (3599.7, "1h 00m", "1h 00m"),  # no "60m 00s"
        (90061, "1d 01h", "1d 01h"),
    ],
)
def test_durations(seconds, exact, rounded):
    assert (took(seconds), calm(seconds)) == (exact, rounded)


def test_words():
    assert took(None) == "-"
    assert ago(NOON, NOON + timedelta(minutes=5, seconds=3)) == "5m ago"
    assert (many(1, "retry"), many(2, "retry"), many(2, "node")) == (
        "1 retry",
        "2 retries",
        "2 nodes",
    )
    assert without_login("postgres://me:secret@db/x") == "postgres://***@db/x"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Runtime Error in model a (models/a.sql)\n  it broke", "it broke"),
        ("Compilation Error in test t (x.yml)\n  no macro", "no macro"),
        # without a second line the first is all there is
        ("Database Error in model a (models/a.sql)", "Database Error in model a (models/a.sql)"),
        ("ValueError: bad\n  more", "ValueError: bad"),
        ("\n\n  late", "late"),
        ("", ""),
    ],
)
def test_the_line_that_says_most(message, line):
    assert gist(message) == line


def test_a_line_takes_no_orders_for_the_terminal():
    assert first_line("\x1b[2J\x07boo\x1b[0m") == "boo"
    assert first_line("x" * 300, 10) == "xxxxxxx..."


def test_every_state_a_node_ends_in_has_a_mark():
    from dbtorch.cli.text.words import MARKS

    assert all(state in MARKS for state in State if state.final)
