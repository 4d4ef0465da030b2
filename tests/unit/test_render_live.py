"""The live view of a terminal, and the thread that keeps it out of the run's way."""

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from datetime import UTC, timedelta

import pytest

from dbtorch.cli.live.live_view import LiveView
from dbtorch.cli.live.output import Output
from dbtorch.cli.live.view import make_view
from dbtorch.cli.text.colour import Colours, colours_for
from dbtorch.core.history.summary import summarize
from dbtorch.core.model.state import State
from dbtorch.core.plan import STEPS
from dbtorch.testing import FixedClock
from tests.unit.story import NOON, SHOP, Told, broken_shop, model, plan, record, step
from tests.waiting import PATIENCE


class Terminal:
    """A terminal of a given size, and what stands on it."""

    def __init__(self, width=100, height=24, *, colours=True):
        self._stream = io.StringIO()
        self.size = (width, height)
        self.view = LiveView(
            Output(self._stream),
            FixedClock(NOON),
            Colours(wanted=colours),
            size=lambda: self.size,
            zone=UTC,
        )

    @property
    def raw(self):
        return self._stream.getvalue()


def stripped(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def screen(terminal):
    """What a person sees: a tiny terminal that knows the four things the view writes."""
    lines, at = [""], 0
    for token in re.findall(r"\x1b\[\d*[A-Za-z]|\x1b\[[0-9;]*m|\r|\n|[^\x1b\r\n]+", terminal.raw):
        if up := re.fullmatch(r"\x1b\[(\d+)A", token):
            at -= int(up[1])
        elif token == "\x1b[J":
            del lines[at:]
            lines.append("")
        elif token == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif token != "\r" and not token.startswith("\x1b"):
            lines[at] += token
    assert at >= 0
    return [line for line in lines if line]


def begun(terminal, told):
    terminal.view.start(told.plan, told.record)
    terminal.view.changed(told.changes)


def test_before_the_graph_is_known_the_view_says_that_dbt_starts():
    terminal = Terminal()
    for seconds in (0, 1, 2, 3):
        terminal.view.tick(NOON + timedelta(seconds=seconds))
    assert screen(terminal) == ["starting dbt ... 3s"]


def test_the_area_shows_progress_counts_and_what_runs():
    terminal = Terminal()
    until = NOON + timedelta(seconds=5)
    told = Told(
        seconds={"step.ingest_orders": [60.0]},
        a_plan=plan(expected={node.id: 2.0 for node in SHOP} | {"step.ingest_orders": 60.0}),
        until=until,
    )
    begun(terminal, told)
    terminal.view.tick(until)
    start, heading, bar, counts, running = screen(terminal)
    assert start == (
        "12:00:00  START     9 nodes on target dev, pipeline daily, times in UTC, run"
        f" {told.record.run_id}"
    )
    assert heading == "daily on dev  5s"
    assert bar.endswith("  2/9  22%  about 1m 07s left")  # 55 s, and six nodes of 2 s behind it
    assert counts == "2 success  1 running  6 pending"
    assert running == "  RUN          5s  step ingest_orders"


def test_failures_and_retries_scroll_above_the_area():
    terminal = Terminal(width=120)
    told = broken_shop()
    terminal.view.start(told.plan, told.record)
    for now, changes in told.turns:
        terminal.view.changed(changes)
        terminal.view.tick(now)
    lines = screen(terminal)
    assert [line.split()[1] for line in lines[:4]] == ["START", "RETRY", "WARN", "FAIL"]
    assert "attempt 1 of 3, retry now: connection lost" in lines[1]
    assert lines[4].startswith("daily on dev")
    assert len(lines) == 7


def test_a_retry_that_waits_is_shown_with_its_time():
    terminal = Terminal()
    told = broken_shop()
    terminal.view.start(told.plan, told.record)
    first = next(change for change in told.changes if change.state is State.UP_FOR_RETRY)
    terminal.view.changed(told.changes[: told.changes.index(first) + 1])
    terminal.view.tick(first.at - timedelta(seconds=12))
    assert screen(terminal)[-1] == "  RETRY    in 12s  step ingest_rates, attempt 2"


def test_the_area_never_grows_beyond_the_terminal():
    steps = [step(f"s{i}") for i in range(100)]
    a_plan = plan(steps, [])
    a_plan.pools[STEPS] = 100
    told = Told(
        seconds={node.id: [99.0] for node in steps},
        a_plan=a_plan,
        until=NOON + timedelta(seconds=5),
    )
    for height, expected in ((24, 15), (10, 8), (5, 3), (3, 1)):
        terminal = Terminal(width=40, height=height)
        begun(terminal, told)
        terminal.view.tick(told.now)
        _, *lines = screen(terminal)
        assert len(lines) == expected < height
        assert all(len(line) <= 40 for line in lines)
    terminal = Terminal(height=24)
    begun(terminal, told)
    terminal.view.tick(told.now)
    assert screen(terminal)[-1].strip() == "and 89 more nodes"


def test_nothing_is_written_while_nothing_changes():
    terminal = Terminal()
    terminal.view.tick(NOON)
    before = terminal.raw
    terminal.view.tick(NOON + timedelta(seconds=0.25))
    assert terminal.raw == before


def test_the_area_makes_room_for_the_summary():
    terminal = Terminal()
    told = broken_shop()
    begun(terminal, told)
    terminal.view.tick(told.now)
    terminal.view.finish(summarize(told.kept()))
    terminal.view.tick(told.now)  # one that comes late
    terminal.view.close()
    text = "\n".join(screen(terminal))
    assert "FAIL  model fct_orders" in text
    assert "daily on dev" not in text
    assert text.splitlines()[1].startswith("12:00:01  RETRY")


def test_closing_early_takes_the_area_away_and_keeps_what_was_said():
    terminal = Terminal()
    terminal.view.tick(NOON)
    terminal.view.note("dbt 1.13 is not tested", level="warning")
    terminal.view.close()
    terminal.view.close()
    assert screen(terminal) == ["dbt 1.13 is not tested"]


def test_no_mode_of_the_terminal_is_changed():
    terminal = Terminal()
    told = broken_shop()
    begun(terminal, told)
    terminal.view.tick(told.now)
    terminal.view.close()
    assert "\x1b[?" not in terminal.raw  # no hidden cursor, no second screen


class _Tty(io.StringIO):
    def isatty(self):
        return True


def test_no_colours_when_they_are_not_wanted():
    assert colours_for(_Tty(), {"TERM": "xterm"}).wanted
    terminal = Terminal(colours=colours_for(_Tty(), {"TERM": "xterm", "NO_COLOR": "1"}).wanted)
    told = broken_shop()
    begun(terminal, told)
    terminal.view.tick(told.now)
    terminal.view.finish(summarize(told.kept()))
    assert not re.search(r"\x1b\[[\d;]*m", terminal.raw)


def test_lines_are_cut_by_the_columns_that_their_characters_take():
    terminal = Terminal(width=20, height=24)
    steps = [step("データを読み込む手順の名前"), step("a" * 30), step("e\u0301" * 9)]
    told = Told(
        seconds={node.id: [99.0] for node in steps},
        a_plan=plan(steps, []),
        until=NOON + timedelta(seconds=5),
    )
    begun(terminal, told)
    terminal.size = (34, 24)
    terminal.view.tick(told.now)
    first, second, third = screen(terminal)[-3:]
    assert first == "  RUN          5s  step データを…"  # seven letters of a column, four of two
    assert second == "  RUN          5s  step aaaaaaaaa…"
    assert third == "  RUN          5s  step " + "e\u0301" * 9


def test_a_terminal_that_was_made_narrower_has_wrapped_what_is_written_over():
    terminal = Terminal(width=40)
    terminal.view.tick(NOON)
    terminal.size = (6, 24)
    terminal.view.tick(NOON + timedelta(seconds=1))
    assert "\r\x1b[4A\x1b[J" in terminal.raw  # 19 characters, six in a row


def test_a_redraw_of_a_large_run_is_cheap():
    nodes = [model(f"m{i}") for i in range(1500)]
    edges = [(nodes[i // 3].id, nodes[i].id) for i in range(3, 1500)]
    a_plan = plan(nodes, edges, expected={node.id: 30.0 for node in nodes}, threads=64)
    told = Told(
        seconds={node.id: [30.0] for node in nodes},
        a_plan=a_plan,
        until=NOON + timedelta(seconds=100),
    )
    terminal = Terminal(height=60)
    begun(terminal, told)
    costs = []
    for second in range(1, 30):
        began = time.process_time()
        terminal.view.tick(told.now + timedelta(seconds=second))
        costs.append(time.process_time() - began)
    assert sorted(costs)[len(costs) // 2] < 0.020


@pytest.mark.parametrize(
    ("log_format", "first"),
    [("text", "12:00:00  START"), ("json", '{"ts": "2026-03-01T12:00:00+00:00"')],
)
def test_off_a_terminal_there_are_lines(log_format, first, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    stream = io.StringIO()
    view = make_view(log_format, FixedClock(NOON), stream=stream)
    a_plan = plan()
    view.start(a_plan, record(a_plan))
    view.close()
    assert stream.getvalue().startswith(first)
    assert "\x1b" not in stream.getvalue()


_SHOW = """
import os, sys, time
from dbtorch.adapters.clock import SystemClock
from dbtorch.cli.live.view import make_view
from dbtorch.core.history.summary import summarize
from tests.unit.story import broken_shop
view = make_view("text", SystemClock())
told = broken_shop()
view.start(told.plan, told.record)
view.changed(told.changes)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
view.finish(summarize(told.kept()))
view.close()
"""


def test_on_a_real_terminal_the_view_is_live(tmp_path):
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    environ.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-c", _SHOW, tmp_path / "go"],
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
        env=environ,
    )
    os.close(theirs)
    text = _read_all(ours, lambda text: "━" in text and (tmp_path / "go").touch())
    os.close(ours)
    assert process.wait(PATIENCE) == 0, text
    assert "daily on dev" in text
    assert "━" in text
    assert "FAIL" in stripped(text)
    assert "dbtorch retry" in text
    assert "\x1b[?25l" not in text


def _read_all(fd, seen):
    data = b""
    while select.select([fd], [], [], PATIENCE)[0]:
        try:
            piece = os.read(fd, 65536)
        except OSError:  # the other side of a terminal is gone
            break
        if not piece:
            break
        data += piece
        seen(data.decode(errors="replace"))
    return data.decode()
