"""What others have put into names and messages gives no orders to a terminal."""

import io
import re
import time
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

import dbtorch.cli
import dbtorch.service
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.store import open_store
from dbtorch.cli.live.json_lines import JsonLines
from dbtorch.cli.live.live_view import LiveView
from dbtorch.cli.live.output import Output
from dbtorch.cli.live.plain_lines import PlainLines
from dbtorch.cli.text.colour import Colours
from dbtorch.cli.text.graph import graph_text
from dbtorch.cli.text.plan import plan_text
from dbtorch.cli.text.terminal import echo, shown
from dbtorch.core.failures.message import one_line, plain, tidy
from dbtorch.core.history.summary import summarize
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.state import FailureClass, State
from dbtorch.testing import FixedClock
from tests.unit.spoken import FORBIDDEN, RUN, Shell, a_project
from tests.unit.story import NOON, Told
from tests.unit.story import plan as planned

#: Title, colour, C1's CSI, right-to-left override, a carriage return over what stands there.
EVIL = "n\x1b]0;owned\x07\x1b[31mr\x9b2J\u202eev\u2066il\rOK\x85x\x7f\nFAKE line\x1b"


@pytest.mark.parametrize(
    ("text", "plainly"),
    [
        ("as it was\t\n", "as it was\t\n"),
        ("größer ✓ 漢字 👩‍🚀", "größer ✓ 漢字 👩‍🚀"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred\x9bm", "red"),
        ("\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link", "textlink"),
        ("\x1b]0;never ended\nnext", "]0;never ended\nnext"),
        ("\x1bPorder\x1b\\done \x1b(B\x1b7\x1bc", "done "),
        ("abc\u202ecba", "abccba"),
        ("10 %\r20 %\r\nend", "10 %\n20 %\nend"),
        ("a\x0bb\x0cc\u2028d\x85e", "a\nb\nc\nd\ne"),
        ("\x1b\x1b[31m[31mx", "[31mx"),
        ("half \ud800", "half "),
    ],
)
def test_a_text_in_plain_characters(text, plainly):
    assert plain(text) == plainly
    assert not FORBIDDEN.search(plain(text))


@pytest.mark.parametrize("text", ["\x1b[", "\x1b]", "\x1b[1;", "\x9d", "\x1b", "\x1b( ", "\r", "["])
def test_a_long_text_takes_no_long_time(text):
    began = time.process_time()
    plain(text * 400_000)
    plain(text + "1" * 400_000)
    assert time.process_time() - began < 5  # a quadratic one would take hours


def test_only_dbtorch_paints():
    ours = "a \x1b[31mFAIL\x1b[0m b"
    assert shown(ours, colours=True) == ours
    assert shown(ours) == "a FAIL b"
    assert shown("\x1b[31mnever ended\nnext", colours=True) == "\x1b[31mnever ended\x1b[0m\nnext"
    assert shown("\x1b[5;41mblink\x1b[2J \x1b[31mx", colours=True) == "blink \x1b[31mx\x1b[0m"


def test_what_a_stream_cannot_express_is_a_question_mark(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    echo("größer \ud800")
    stream.flush()
    assert stream.buffer.getvalue() == b"gr??er \n"


def test_nothing_in_a_command_prints_but_the_edge():
    """A new command that prints by itself would bring the escape characters back."""
    folder = Path(dbtorch.cli.__file__).parent
    prints = re.compile(r"click\.echo|(?<![\w.])print\(|std(?:out|err)\.write|json\.dumps")
    found = {
        f"{path.relative_to(folder)}: {line.strip()}"
        for path in folder.rglob("*.py")
        if path != folder / "text" / "terminal.py"
        for line in path.read_text().splitlines()
        if prints.search(line)
    }
    assert not found


def test_nothing_in_a_service_prints():
    """Whoever calls one may have no terminal, or one that shows something else."""
    prints = re.compile(r"import click|(?<![\w.])print\(|std(?:out|err)\.write|sys\.argv|chdir")
    for path in Path(dbtorch.service.__file__).parent.rglob("*.py"):
        found = {line for line in path.read_text().splitlines() if prints.search(line)}
        assert found <= {"print(json.dumps(found))"}, f"{path}: {found}"  # for another process


def a_hostile_shop(**more):
    """A run in which everything that has a name or a text is hostile."""
    facts = {
        "owner": EVIL,
        "runbook": EVIL,
        "group": EVIL,
        "path": EVIL,
        "materialized": EVIL,
        "description": EVIL,
        "tags": (EVIL,),
    }
    nodes = [
        Node(id=f"model.shop.{EVIL}", kind=Kind.MODEL, name=EVIL, **facts),
        Node(id=f"step.{EVIL}", kind=Kind.STEP, name=EVIL, **facts),
        Node(id=f"test.shop.{EVIL}", kind=Kind.TEST, name=EVIL, **facts),
        Node(id="model.shop.after", kind=Kind.MODEL, name="after", **facts),
    ]
    failed = Outcome(state=State.FAILED, message=EVIL * 2, failure_class=FailureClass.CODE)
    warned = Outcome(state=State.WARN, message=EVIL)
    a_plan = planned(nodes, [(nodes[0].id, nodes[3].id), (nodes[1].id, nodes[2].id)])
    told = Told(
        {nodes[0].id: [failed], nodes[2].id: [warned], nodes[1].id: [replace(failed, output=EVIL)]},
        a_plan=a_plan,
        command=("dbtorch", "run", "-s", EVIL),
        git_commit=EVIL,
        adapter=EVIL,
        host=EVIL,
        **more,
    )
    return told, nodes


def test_no_command_that_reads_gives_orders(tmp_path, capsys):
    folder = a_project(tmp_path)
    store = open_store(None, folder)
    _, nodes = a_hostile_shop(store=store, run_id=RUN, pipeline=EVIL)
    store.close()
    log = RunFiles(folder / ".dbtorch", RUN).path(nodes[0].id, 1)
    log.parent.mkdir(parents=True)
    log.write_bytes(EVIL.encode() * 5 + b"\xff\xfe\x1b[2J")
    shell = Shell(folder, capsys)
    where = ("--project-dir", str(folder))
    for words in (
        ("runs",),
        ("runs", "-p", EVIL),
        ("show",),
        ("show", "latest", "--all"),
        ("show", EVIL),
        ("show", "--format", "json"),
        ("runs", "--format", "json"),
        ("logs", "latest", nodes[0].id),
        ("logs", "latest", nodes[0].id, "--format", "json"),
        ("logs", "latest", "after"),
        ("logs", "latest", "nothing like that"),
        ("mark", "latest", nodes[0].id, "success", "--reason", EVIL),
        ("show", "latest", "--all"),
        ("cancel", "latest", EVIL),
        ("alerts", "list", "--all"),
        (EVIL,),
        ("run", EVIL, f"--{EVIL}"),
        ("run", "--logical-date", EVIL),
    ):
        found = shell(*words, *where)
        if "json" not in words and words[0] in ("show", "runs"):
            assert not re.search("^FAKE line", found.out, re.MULTILINE)


def test_no_view_of_a_run_gives_orders():
    told, _ = a_hostile_shop()
    for make in (lambda out: PlainLines(out, FixedClock(NOON), UTC), _json_lines):
        stream = io.StringIO()
        view = make(Output(stream))
        view.start(told.plan, told.record)
        view.note(EVIL, level="warning")
        view.changed(told.changes)
        view.finish(summarize(told.kept(), log_path="logs/{}/{}.log".format))
        assert "evil" in stream.getvalue() or "u202e" in stream.getvalue()
        assert not FORBIDDEN.search(stream.getvalue())
        assert not re.search("^FAKE line", stream.getvalue(), re.MULTILINE)


def _json_lines(output):
    return JsonLines(output, FixedClock(NOON))


def test_the_live_view_gives_only_its_own_orders():
    told, _ = a_hostile_shop()
    stream = io.StringIO()
    view = LiveView(
        Output(stream), FixedClock(NOON), Colours(wanted=True), size=lambda: (200, 24), zone=UTC
    )
    view.start(told.plan, told.record)
    view.note(EVIL, level="error")
    for now, changes in told.turns:
        view.changed(changes)
        view.tick(now)
    view.finish(summarize(told.kept()))
    mine = r"\x1b\[(?:[0-9;]*m|\d*A|J)|\r(?=\x1b)"
    assert not FORBIDDEN.search(re.sub(mine, "", stream.getvalue()))


def test_no_picture_of_a_plan_gives_orders():
    told, _ = a_hostile_shop()
    for text in (
        plan_text(told.plan),
        *(graph_text(told.plan, format) for format in ("text", "mermaid", "dot")),
    ):
        assert not FORBIDDEN.search(shown(text))
        assert not re.search("^FAKE line", shown(text), re.MULTILINE)
    for text in (plan_text(told.plan, format="json"), graph_text(told.plan, "json")):
        assert shown(text) == text  # it is data, and loses nothing


def test_a_message_is_tidied_for_reading():
    text, _ = tidy(EVIL)
    assert not FORBIDDEN.search(text)
    assert "\n" not in one_line(EVIL)
